"""Clips: read, stylized, kept from flickering, and written again."""

from importlib.util import find_spec

from fast_style.errors import UserError

PACKAGES = {"av": "av", "cv2": "opencv-python-headless"}


def check_installed(*modules: str) -> None:
    """Raise UserError where a module of PACKAGES is missing."""
    missing = [PACKAGES[module] for module in modules if not find_spec(module)]
    if missing:
        raise UserError(f"videos need {', '.join(missing)}: pip install 'fast-style[video]'")

"""Serve styles: python -m fast_style.serve --models pretrained --port 8501

Speaks TensorFlow Serving's REST API (GET /v1/models/NAME, POST /v1/models/NAME:predict), takes
plain pictures (POST /stylize/NAME), and shows a page at /.
"""

from importlib.util import find_spec
from pathlib import Path

from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error, number_of_bytes
from fast_style.errors import UserError

NEEDED = ("starlette", "uvicorn", "python_multipart", "prometheus_client")
SECONDS_TO_FINISH = 30


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[Path("pretrained")],
        help="model folders, or folders of such",
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: for other machines too")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--queue", type=at_least_1, default=64, help="requests that may wait")
    parser.add_argument("--max-body", type=number_of_bytes, default=64_000_000, help="such as 64MB")
    parser.add_argument("--max-pixels", type=at_least_1, default=50_000_000, help="of a picture")
    parser.add_argument("--runtime", default="auto", choices=["auto", "tensorflow", "openvino"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    args = parser.parse_args()
    missing = [package for package in NEEDED if not find_spec(package)]
    if missing:
        raise UserError(f"serving needs {', '.join(missing)}: pip install 'fast-style[serve]'")

    import uvicorn

    from fast_style.serve.app import Limits, application
    from fast_style.serve.models import Models

    models = Models(args.models, args.runtime, args.precision)
    print(f"{len(models.styles)} styles: {', '.join(models.styles)}")
    print(f"http://{args.host}:{args.port}/ shows them")
    uvicorn.run(
        application(models, Limits(args.queue, args.max_body, args.max_pixels)),
        host=args.host,
        port=args.port,
        log_level="warning",
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )


if __name__ == "__main__":
    exit_on_user_error(main)

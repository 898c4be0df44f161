"""The figures of a model at several sizes, and in comparison with other models."""

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style import hardware
from fast_style.any_style.chosen_style import in_style
from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import PLACE_KEYS, Config
from fast_style.errors import UserError
from fast_style.loss.style_statistics import SUFFIX as STATISTICS_SUFFIX
from fast_style.measure.artefacts import blotched_share, frame_shift, grid_energy
from fast_style.measure.lbfgs_equivalence import STARTS, objective
from fast_style.measure.likeness import likeness, looks, scaled
from fast_style.model_folder.layout import CONF
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style
from fast_style.pictures.contact_sheet import contact_sheet
from fast_style.pictures.images import flatten_on_white, read_picture
from fast_style.pictures.pixels import resize, square
from fast_style.pictures.style_image import style_image_file
from fast_style.stylize.stylizer import Stylizer, chosen_runtime

PHOTO, PAINTING = "photo", "painting"
MOST_ON_SHEET = 8  # photos
SLOW_STEPS = 500  # of L-BFGS, compared with one pass (Johnson et al. 2016, table 1)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model folder in one style, and the painting that it is compared with.

    config: its conf without PLACE_KEYS. painting: (H, W, 3) uint8.
    """

    label: str
    folder: Path
    style: str | None
    config: Config
    stylizer: Stylizer
    painting: np.ndarray


def read_subject(
    folder: Path, label: str, style: str | None = None, style_image: str | None = None
) -> Subject:
    """Reads the model in `folder` and its painting.

    style: the one to measure, if the folder has several. style_image: a file or URL instead of the
    conf's. Raises UserError if the folder has no such model, or the style image is missing.
    """
    model = in_style(read_model(folder), style, chosen_runtime("auto"))
    conf = {key: value for key, value in model.conf.items() if key not in PLACE_KEYS}
    source = str(model.source.parent / CONF)
    if style_image is not None:
        conf |= {"style_image": style_image, "style_images": None, "style_image_sha256": None}
        source = "--style-image"
    try:
        config = config_from_mapping(conf, source)
        config = config.of_style(*config.named_style_images)
        file = style_image_file(config)
        if file.suffix == STATISTICS_SUFFIX:
            raise UserError(f"style_image: {file}: contains statistics and no painting")
        painting = flatten_on_white(read_picture(file))
    except UserError as error:
        if style_image is not None or "style_image" not in str(error):
            raise
        raise UserError(f"{error}; --style-image FILE names the painting") from error
    return Subject(label, folder, style, config, Stylizer(model), painting)


def compare(
    subjects: Sequence[Subject],
    photos: Sequence[np.ndarray],
    others: dict[str, np.ndarray] | None = None,
) -> tuple[dict[str, dict], np.ndarray]:
    """Returns the figures of likeness() by label, and the contact sheet, (H, W, 3) uint8.

    These are means over the photos, for the photos themselves (`photo`), the subjects, and others.
    The sheet shows MOST_ON_SHEET of the photos. photos: (H, W, 3) uint8. others: pictures made from
    a single photo, with the first subject's painting.
    """
    paintings = [looks(scaled(subject.painting)) for subject in subjects]
    found: dict[str, list[dict]] = {}
    columns: dict[str, list[np.ndarray]] = {}
    with tqdm(total=len(photos) * len(subjects), unit=" pictures") as progress:
        for photo in map(scaled, photos):
            plain = looks(photo)
            rows = [(PHOTO, photo, paintings[0])]
            for subject, painting in zip(subjects, paintings, strict=True):
                rows.append((subject.label, subject.stylizer(photo), painting))
                progress.update()
            for label, picture in (others or {}).items():
                rows.append((label, resize(picture, *photo.shape[:2]), paintings[0]))
            for label, picture, painting in rows:
                of_picture = plain if label == PHOTO else looks(picture)
                found.setdefault(label, []).append(likeness(of_picture, plain, painting))
                if len(found[label]) <= MOST_ON_SHEET:
                    columns.setdefault(label, []).append(picture)
    figures = {
        label: {name: np.mean([one[name] for one in each], axis=0).tolist() for name in each[0]}
        for label, each in found.items()
    }
    return figures, contact_sheet(_with_paintings(columns, subjects))


def _with_paintings(
    columns: dict[str, list[np.ndarray]], subjects: Sequence[Subject]
) -> dict[str, list[np.ndarray]]:
    """Returns the columns, with each painting before the first model that was trained on it."""
    ordered, before = {PHOTO: columns[PHOTO]}, None
    for subject in subjects:
        if before is None or not np.array_equal(subject.painting, before):
            before = subject.painting
            heading = PAINTING if one_painting(subjects) else f"{PAINTING} of {subject.label}"
            ordered[heading] = [scaled(before)] * len(columns[PHOTO])
        ordered[subject.label] = columns[subject.label]
    return ordered | columns


def one_painting(subjects: Sequence[Subject]) -> bool:
    """Returns whether all subjects have the same painting."""
    return all(np.array_equal(each.painting, subjects[0].painting) for each in subjects)


def measure(
    subject: Subject,
    photos: Sequence[np.ndarray],
    sizes: Sequence[int],
    figures: dict,
    lbfgs: tuple[int, int] | None = None,
) -> dict:
    """Returns all measurements of a model folder as a dict for JSON.

    photos: (H, W, 3) uint8; their centre square is measured at each of `sizes`. figures: those of
    compare() for this subject. lbfgs: how many photos to optimize, and for how many iterations.
    """
    optimized, iterations = lbfgs or (0, 0)
    optimized = min(optimized, len(photos))
    # OpenVINO runs on the CPU. Asking TensorFlow for GPUs takes seconds.
    on_cpu = subject.stylizer.runtime == "openvino" and lbfgs is None
    steps = len(sizes) * (len(photos) + len(STARTS) * optimized * iterations)
    at_sizes = {}
    with tqdm(total=steps, unit=" steps", desc=subject.label) as progress:
        for size in sizes:
            contents = [square(photo, size) for photo in photos]
            at_size, stylized = _at_size(subject.stylizer, contents, progress)
            if lbfgs is not None:
                at_size |= objective(
                    subject.config, contents, stylized, optimized, iterations, progress
                )
                slow = at_size["seconds_per_lbfgs_iteration"]
                at_size["times_faster"] = SLOW_STEPS * slow / at_size["seconds_per_pass"]
            at_sizes[str(size)] = at_size
    return {
        "model": name_in_style(subject.folder.resolve().name, subject.style),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware.describe_cpu() if on_cpu else hardware.describe(),
        "runtime": subject.stylizer.runtime,
        "pictures": len(photos),
        **({} if lbfgs is None else {"optimized_pictures": optimized}),
        "likeness": figures,
        "sizes": at_sizes,
    }


def _at_size(
    stylizer: Stylizer, contents: list[np.ndarray], progress: tqdm
) -> tuple[dict, list[np.ndarray]]:
    """Returns the figures of square contents of one size, and the stylized contents."""
    size = len(contents[0])
    period = stylizer.architecture.downsampling
    artefacts: list[dict[str, float]] = []
    all_stylized: list[np.ndarray] = []
    pass_seconds: list[float] = []
    stylizer(contents[0])  # not measured, because the first pass at a size may compile
    for number, content in enumerate(contents):
        progress.set_postfix_str(f"{size}x{size}, picture {number + 1} of {len(contents)}")
        started = time.perf_counter()
        stylized = stylizer(content)
        pass_seconds.append(time.perf_counter() - started)
        all_stylized.append(stylized)
        artefacts.append(
            {
                "grid": grid_energy(stylized, period),
                "grid_of_content": grid_energy(content, period),
                "blotched": blotched_share(stylized),
                "blotched_of_content": blotched_share(content),
            }
        )
        progress.update()
    middle = (slice(size // 4, size - size // 4),) * 2
    for entry, content, stylized in zip(artefacts, contents, all_stylized, strict=True):
        entry["frame"] = frame_shift(stylizer(content[middle]), stylized[middle])
    figures = {
        "seconds_per_pass": float(np.median(pass_seconds)),
        "artefacts": {
            name: float(np.mean([entry[name] for entry in artefacts])) for name in artefacts[0]
        },
    }
    return figures, all_stylized

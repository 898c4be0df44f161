"""Measure a trained network: strokes and palette of its painting, and the photo's scene.

    python -m fast_style.measure --model models/candy --images photos
    python -m fast_style.measure --model models/candy --images photo.jpg --pictures theirs.jpg
    python -m fast_style.measure --model models/candy --images photos --lbfgs

Of one or several models, the plain photo, and the pictures that other programs made of it: the
figures of fast_style.likeness, which no loss network knows, a contact sheet, and for the models
figures of what spoils pictures (fast_style.artefacts) at several sizes. With --lbfgs also the
objective in iterations of the slow optimization, from white noise and from the content image,
which is far nearer to the end: Johnson et al. (2016, section 4.1) find their networks as good as
50 to 100 iterations of L-BFGS from noise.
"""

import datetime
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style import hardware
from fast_style.artefacts import blotched_share, frame_shift, grid_energy
from fast_style.command_line import OneLineParser, at_least_1, exit_on_user_error
from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import PLACE_KEYS, Config
from fast_style.errors import UserError
from fast_style.files import read_bytes, write_atomically
from fast_style.lbfgs_equivalence import STARTS, iterations_in_words, objective, plot
from fast_style.likeness import likeness, looks, scaled
from fast_style.loss.style_statistics import SUFFIX as STATISTICS_SUFFIX
from fast_style.model_folder.layout import CONF, find_model_folder
from fast_style.model_folder.model import read_model
from fast_style.network.style_mix import name_in_style
from fast_style.pictures.contact_sheet import contact_sheet
from fast_style.pictures.images import (
    Picture,
    find_pictures,
    flatten_on_white,
    read_picture,
    write_picture,
)
from fast_style.pictures.pixels import resize, square
from fast_style.pictures.style_image import style_image_file
from fast_style.stylize.stylizer import Stylizer

MEASURE = "measure"  # .json, and with --lbfgs .png; measure-STYLE of a folder with several
SHEET = "contact_sheet"  # .jpg; contact_sheet-STYLE
PHOTO, PAINTING = "photo", "painting"
MOST_ON_SHEET = 8  # photos
MOST_OTHER_PROPORTIONS = 0.03  # programs cut or add some pixels at the edges
SMALLEST = 96
OPTIMIZED, ITERATIONS = 2, 200
SLOW_STEPS = 500  # what one pass is compared with (Johnson et al. 2016, table 1)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model folder in one style, and the painting that it is compared with.

    config: its conf, without what only its training needed. painting: (H, W, 3) uint8.
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
    """The model in `folder`, ready to be measured.

    style: the one that is measured, where the folder has several. style_image: a file or URL, in
    place of what the conf names.
    Raises UserError where the folder holds no such model, or the style image is not at hand.
    """
    model = read_model(folder).in_style(style)
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
            raise UserError(f"style_image: {file}: holds statistics, which show no painting")
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
    """The figures of fast_style.likeness by label, and the contact sheet, (H, W, 3) uint8.

    Of the photos themselves (`photo`), the subjects, and others; means over the photos, of which
    MOST_ON_SHEET are on the sheet. photos: (H, W, 3) uint8. others: pictures that were made of the
    only photo, with the first subject's painting.
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
    """The columns, with each painting before the first model that was trained on it."""
    ordered, before = {PHOTO: columns[PHOTO]}, None
    for subject in subjects:
        if before is None or not np.array_equal(subject.painting, before):
            before = subject.painting
            heading = PAINTING if _one_painting(subjects) else f"{PAINTING} of {subject.label}"
            ordered[heading] = [scaled(before)] * len(columns[PHOTO])
        ordered[subject.label] = columns[subject.label]
    return ordered | columns


def _one_painting(subjects: Sequence[Subject]) -> bool:
    return all(np.array_equal(each.painting, subjects[0].painting) for each in subjects)


def measure(
    subject: Subject,
    photos: Sequence[np.ndarray],
    sizes: Sequence[int],
    figures: dict,
    lbfgs: tuple[int, int] | None = None,
) -> dict:
    """All measurements of a model folder, as a dict for JSON.

    photos: (H, W, 3) uint8, of which the centre square is taken at each of `sizes`. figures: the
    subject's own of compare(). lbfgs: how many of the photos are optimized too, and for how many
    iterations.
    """
    optimized, iterations = lbfgs or (0, 0)
    optimized = min(optimized, len(photos))
    # OpenVINO runs on the CPU, and TensorFlow, which knows of GPUs, takes seconds to import.
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
    """The figures of square contents of one size, and the stylized contents."""
    size = len(contents[0])
    period = stylizer.architecture.downsampling
    artefacts: list[dict[str, float]] = []
    all_stylized: list[np.ndarray] = []
    pass_seconds: list[float] = []
    stylizer(contents[0])  # unmeasured, because the first pass at a size may compile
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


def likeness_table(figures: dict[str, dict | None]) -> str:
    """The figures of compare() as lines of text; '-' where a picture has none."""
    width = max(len(label) for label in figures)
    lines = [f"{'':{width}}  strokes  on each level, fine to coarse  palette  scene"]
    for label, of_label in figures.items():
        strokes, levels, palette, scene = likeness_cells(of_label)
        lines.append(f"{label:{width}}  {strokes:>7}  {levels:>29}  {palette:>7}  {scene:>5}")
    return "\n".join(lines)


def likeness_cells(figures: dict | None) -> tuple[str, str, str, str]:
    """Strokes, those on each level, palette and scene, as 0.52; '-' where there are none."""
    if figures is None:
        return ("-",) * 4
    levels = " ".join(f"{level:.2f}" for level in figures["strokes_by_level"])
    strokes, palette, scene = (figures[name] for name in ("strokes", "palette", "scene"))
    return f"{strokes:.2f}", levels, f"{palette:.2f}", f"{scene:.2f}"


def table(measured: dict[str, dict]) -> str:
    """What measure() found at each size, of one or several models by label, as lines of text."""
    width = max(8, *(len(label) for label in measured))
    rows = [
        (f"{label:{width}}  {size:>4}", at)
        for label, one in measured.items()
        for size, at in one["sizes"].items()
    ]
    head = f"{'model':{width}}  size"
    lines = [f"{head}  grid (photo)   frame  blotched  pass, s"]
    for label, at in rows:
        art = at["artefacts"]
        lines.append(
            f"{label}  {art['grid']:5.2f} ({art['grid_of_content']:.2f})  {art['frame']:6.1f}"
            f"  {art['blotched']:8.2%}  {at['seconds_per_pass']:7.3f}"
        )
    slow = [(label, at) for label, at in rows if "lbfgs_from" in at]
    if slow:
        terms = list(dict.fromkeys(name for _, at in slow for name in at["network"]))
        columns = "".join(f"  {name:>8}" for name in terms)
        lines.append("")
        lines.append(f"{head}{columns}  L-BFGS from noise/content  times faster")
    for label, at in slow:
        means = [at["network"].get(name, {}).get("mean") for name in terms]
        columns = "".join(f"  {'-' if mean is None else f'{mean:.4g}':>8}" for mean in means)
        equals = " / ".join(
            iterations_in_words(at["lbfgs_from"][name]) for name in ("noise", "content")
        )
        lines.append(f"{label}{columns}  {equals:>25}  {at['times_faster']:>12,.0f}")
    return "\n".join(lines)


def main() -> None:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model",
        nargs="+",
        action="extend",
        default=[],
        help="model folders, such as models/candy",
    )
    parser.add_argument("--style", help="of a model of several: the one to measure")
    parser.add_argument("--images", help="photos that were not trained on: a folder or glob")
    parser.add_argument(
        "--style-image", help="the painting, where the one of the conf is not there"
    )
    parser.add_argument(
        "--pictures",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="results of other programs for the only photo, to compare with",
    )
    parser.add_argument("--sizes", type=at_least_1, nargs="+", default=[256, 512, 1024])
    parser.add_argument(
        "--lbfgs", action="store_true", help="count the objective in iterations of L-BFGS as well"
    )
    parser.add_argument(
        "--optimized", type=at_least_1, help=f"with --lbfgs: of how many photos ({OPTIMIZED})"
    )
    parser.add_argument(
        "--iterations", type=at_least_1, help=f"with --lbfgs: how many ({ITERATIONS})"
    )
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="DIR", help="measured models to compare with"
    )
    args = parser.parse_args()
    for flag in ("pictures", "style_image", "lbfgs"):
        if getattr(args, flag) and args.images is None:
            raise UserError(f"--{flag.replace('_', '-')}: goes with --model and --images")
    for flag in ("optimized", "iterations"):
        if getattr(args, flag) is not None and not args.lbfgs:
            raise UserError(f"--{flag}: goes with --lbfgs")
    if bool(args.model) != (args.images is not None):
        raise UserError("--model and --images go together; --compare alone shows earlier figures")
    if not args.model and not args.compare:
        raise UserError("--model and --images say what to measure; --compare what to show again")
    if min(args.sizes) < SMALLEST:
        raise UserError(f"--sizes {min(args.sizes)}: is too small; at least {SMALLEST}")
    if args.lbfgs and not (find_spec("scipy") and find_spec("matplotlib")):
        raise UserError("--lbfgs: needs scipy and matplotlib: pip install 'fast-style[gatys]'")
    figures: dict[str, dict | None] = {}
    measured: dict[str, dict] = {}
    if args.model:
        lbfgs = (args.optimized or OPTIMIZED, args.iterations or ITERATIONS) if args.lbfgs else None
        subjects = _read_subjects(args.model, args.style, args.style_image)
        figures, measured = _measure_models(subjects, args.images, args.pictures, args.sizes, lbfgs)
    earlier = [found for name in args.compare for found in _read_measured(find_model_folder(name))]
    labels = _labels([(one["model"], str(path)) for path, one in earlier], figures)
    for label, (_, one) in zip(labels, earlier, strict=True):
        measured[label], figures[label] = one, one.get("likeness")
    print(likeness_table(figures))
    print()
    print(table(measured))


def _read_subjects(
    models: Sequence[str], style: str | None, style_image: str | None
) -> list[Subject]:
    folders = [find_model_folder(name) for name in models]
    for where, count in Counter(path.resolve() for path in folders).items():
        if count > 1:
            raise UserError(f"--model {where}: is given more than once")
    named = [(name_in_style(path.resolve().name, style), str(path)) for path in folders]
    labels = _labels(named, [PHOTO, PAINTING])
    return [
        read_subject(folder, label, style, style_image)
        for folder, label in zip(folders, labels, strict=True)
    ]


def _measure_models(
    subjects: Sequence[Subject],
    images: str,
    pictures: list[str],
    sizes: Sequence[int],
    lbfgs: tuple[int, int] | None,
) -> tuple[dict[str, dict | None], dict[str, dict]]:
    """The figures of compare() and of measure(), by label; the model folders get them as files.

    images: photos, a folder or glob. pictures: files that other programs made of the only photo.
    """
    photos = [flatten_on_white(read_picture(path)) for path in find_pictures(images)]
    labels = [subject.label for subject in subjects]
    others = _read_others(pictures, photos, [PHOTO, PAINTING, *labels])
    if others and not _one_painting(subjects):
        raise UserError(
            "--pictures: the models have different style images; say with --style-image which "
            "painting the pictures are compared with"
        )
    figures, sheet = compare(subjects, photos, others)
    measured = {}
    for subject in subjects:
        ours = measure(subject, photos, sizes, figures[subject.label], lbfgs)
        name = name_in_style(MEASURE, subject.style)
        write_atomically(subject.folder / f"{name}.json", json.dumps(ours, indent=2).encode())
        if lbfgs is not None:
            plot(ours, subject.folder / f"{name}.png")
        measured[subject.label] = ours
    sheet_path = subjects[0].folder / f"{name_in_style(SHEET, subjects[0].style)}.jpg"
    write_picture(sheet_path, Picture(sheet))
    print(sheet_path)
    return dict(figures), measured


def _read_others(
    names: list[str], photos: list[np.ndarray], taken: Sequence[str]
) -> dict[str, np.ndarray]:
    """The pictures by label, which other programs made of the only photo."""
    if names and len(photos) > 1:
        raise UserError(f"--pictures: belong to one photo, and --images stands for {len(photos)}")
    labels = _labels([(Path(name).name, name) for name in names], taken)
    others = {}
    for name, label in zip(names, labels, strict=True):
        picture = flatten_on_white(read_picture(name))
        ratios = [rgb.shape[1] / rgb.shape[0] for rgb in (picture, photos[0])]
        if abs(ratios[0] / ratios[1] - 1) > MOST_OTHER_PROPORTIONS:
            sizes = [f"{rgb.shape[1]}x{rgb.shape[0]}" for rgb in (picture, photos[0])]
            raise UserError(
                f"--pictures {name}: is {sizes[0]}, and the photo is {sizes[1]}; a picture of the "
                "same proportions is wanted"
            )
        others[label] = picture
    return others


def _labels(names: Sequence[tuple[str, str]], taken: Iterable[str]) -> list[str]:
    """For each (short, long) name the short one, or the long one where another has it."""
    counts = Counter([*(short for short, _ in names), *taken])
    labels = [short if counts[short] == 1 else long for short, long in names]
    for label, count in Counter(labels).items():
        if count > 1:
            raise UserError(f"{label}: is given more than once")
    return labels


def _read_measured(folder: Path) -> list[tuple[Path, dict]]:
    paths = sorted(folder.glob(f"{MEASURE}*.json"))
    if not paths:
        raise UserError(
            f"--compare {folder}: holds no {MEASURE}.json; measure it first with --model {folder}"
        )
    measured = []
    for path in paths:
        try:
            measured.append((path, json.loads(read_bytes(path))))
        except ValueError as error:
            raise UserError(f"{path}: is damaged: {error}") from error
    return measured


if __name__ == "__main__":
    exit_on_user_error(main)

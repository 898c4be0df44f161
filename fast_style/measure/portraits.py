"""How many people in stylized portraits are still found and recognized, at several strengths."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fast_style.errors import UserError
from fast_style.measure.likeness import scaled
from fast_style.pictures.pixels import blend
from fast_style.pictures.plots import subplots, write_figure
from fast_style.portraits.faces import Box, Face, dlib_encoder, find_faces

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
LEAST_OVERLAP = 0.3  # of a face in the photo and in the stylized image


def measure_portraits(
    stylizers: Mapping[str, Callable[[np.ndarray], np.ndarray]], photos: Sequence[np.ndarray]
) -> dict[str, dict]:
    """Returns the shares of faces that are found, and are of the same person, by label.

    stylizers: by label, from (H, W, 3) uint8 to the stylized image. photos: (H, W, 3) uint8; they
    are scaled to a short side of 512 pixels. Each label gets a dict for JSON: "faces", the number
    of faces in the photos, and "strengths", "found" and "same", a list each. A face that is not
    found is not of the same person. Raises UserError if there is no face in the photos.
    """
    outcomes: dict[str, list] = {label: [] for label in stylizers}
    with tqdm(total=len(photos) * len(stylizers), unit=" pictures") as progress:
        for photo in map(scaled, photos):
            faces = find_faces(photo)
            for label, stylizer in stylizers.items():
                if faces:
                    stylized = stylizer(photo)
                    left = [find_faces(blend(photo, stylized, each)) for each in STRENGTHS]
                    outcomes[label] += [[_outcome(face, each) for each in left] for face in faces]
                progress.update()
    figures = {}
    for label, of_faces in outcomes.items():
        if not of_faces:
            raise UserError("--portraits: no face is found in the photos")
        found, same = np.mean(of_faces, axis=0).T.tolist()
        one = {"faces": len(of_faces), "strengths": list(STRENGTHS), "found": found, "same": same}
        figures[label] = one
    return figures


def _outcome(face: Face, others: Sequence[Face]) -> tuple[bool, bool]:
    """Returns whether a face is found among others, and is of the same person there."""
    near = max(others, key=lambda other: overlap(face.box, other.box), default=None)
    if near is None or overlap(face.box, near.box) < LEAST_OVERLAP:
        return False, False
    encoder = dlib_encoder()
    one, other = encoder.codes(np.stack([face.crop, near.crop]))
    return True, bool(np.linalg.norm(one - other) <= encoder.threshold)


def overlap(one: Box, other: Box) -> float:
    """Returns the area that two boxes share, over the area of both together."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    both = max(0.0, right - left) * max(0.0, bottom - top)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / (areas - both)


def portraits_table(measured: Mapping[str, dict]) -> str:
    """Returns the figures of measure_portraits() as lines of text."""
    width = max(8, *(len(label) for label in measured))
    lines = [f"{'model':{width}}  strength  faces found  same person"]
    for label, one in measured.items():
        for row in zip(one["strengths"], one["found"], one["same"], strict=True):
            lines.append(f"{label:{width}}  {row[0]:8.2f}  {row[1]:11.0%}  {row[2]:11.0%}")
    return "\n".join(lines)


def plot_portraits(path: Path, measured: Mapping[str, dict]) -> None:
    """Writes the curves of measure_portraits() as a PNG. Raises UserError."""
    figure, panels = subplots(1, 2, figsize=(10, 4.5), sharey=True)
    titles = {"found": "faces that are found", "same": "the same person"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        # Ten colours, and another line for each further ten models.
        for number, (label, one) in enumerate(measured.items()):
            line = ("o-", "s--", "^:")[number // 10 % 3]
            panel.plot(one["strengths"], one[name], line, label=label, markersize=4)
        panel.set(title=title, xlabel="strength", ylim=(-0.03, 1.03))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("share of the faces")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    write_figure(figure, path)

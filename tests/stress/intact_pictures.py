"""Intact picture files of several encoders through what reads pictures: is any refused or wrong?

    python -m tests.stress.intact_pictures --files 5000

Pillow, OpenCV and FFmpeg (PyAV) write scenes with grain, text, screenshots, noise and stylized
images of every style in pretrained/, in every kind of JPEG that they know and in other formats.
Each file is read whole, as eval.py and the server do, and small, as a training does. One that is
refused is a finding, and so is one whose pixels are not those that Pillow has for it.
"""

import argparse
import io
import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from fast_style.errors import UserError
from fast_style.model_folder.model import read_model
from fast_style.pictures.formats import WRITTEN
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.stylize.stylizer import Stylizer

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"
SIGMAS = (0, 1, 2, 5, 10, 20, 40)  # of the grain, in grey levels
STYLIZED_SIZES = ((64, 97), (96, 128), (131, 80))
SAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}
FFMPEG_PIXELS = ("yuvj444p", "yuvj422p", "yuvj420p")

Draw = Callable[[np.random.Generator], np.ndarray]
# Words for the file, its bytes.
Encode = Callable[[np.ndarray, np.random.Generator], tuple[str, bytes]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sources = SOURCES | {"own": own(stylized_images())}
    began, counts, findings = time.monotonic(), Counter[str](), []
    for number in tqdm(range(args.files), unit=" files"):
        rng = np.random.default_rng((args.seed, number))
        source = str(rng.choice(list(sources)))
        encoder = str(rng.choice(list(ENCODERS), p=list(SHARES)))
        words, data = ENCODERS[encoder](sources[source](rng), rng)
        counts.update((source, encoder))
        found = finding(data)
        if found is not None:
            counts["found"] += 1
            findings.append(f"{number}: {source}, {encoder} {words}: {found}")
    print(*(f"{what:>12}{counts[what]:>8,}" for what in (*sources, *ENCODERS)), sep="\n")
    print(*findings, sep="\n")
    print(
        f"{len(findings)} of {args.files:,} intact files refused or wrong, "
        f"in {time.monotonic() - began:.0f} s"
    )
    return 1 if findings else 0


def finding(data: bytes) -> str | None:
    """What is wrong with how an intact file is read, or None."""
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    try:
        rgb = decode_picture(data, "it").rgb
        small = decode_picture(data, "it", at_least=32).rgb
    except UserError as error:
        return str(error)
    if rgb.shape != expected.shape or min(small.shape[:2]) < min(32, *rgb.shape[:2]):
        return f"{rgb.shape} and {small.shape} instead of {expected.shape}"
    return None if np.array_equal(rgb, expected) else "other pixels than Pillow's"


# What is in the files: (H, W, 3) uint8


def scene(rng: np.random.Generator) -> np.ndarray:
    height, width = rng.integers(48, 240, 2)
    down, across = np.mgrid[0:height, 0:width]
    light = 60 + 120 * across / width + 40 * np.sin(down / rng.uniform(8, 40))
    colours = light[..., None] * rng.uniform(0.6, 1, 3)
    grain = rng.normal(0, rng.choice(SIGMAS), (height, width, 1 if rng.random() < 0.5 else 3))
    return np.clip(colours + grain, 0, 255).astype(np.uint8)


def text(rng: np.random.Generator) -> np.ndarray:
    height, width = (int(side) for side in rng.integers(48, 240, 2))
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for row in range(0, height, int(rng.integers(8, 20))):
        letters = "".join(map(chr, rng.integers(33, 127, width // 6)))
        draw.text((int(rng.integers(0, 9)), row), letters, tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(image)


def screenshot(rng: np.random.Generator) -> np.ndarray:
    height, width = (int(side) for side in rng.integers(64, 240, 2))
    image = Image.new("RGB", (width, height), (240, 240, 245))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 8))):
        left, top = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 20))
        box = (left, top, left + int(rng.integers(12, width)), top + int(rng.integers(12, height)))
        draw.rectangle(box, tuple(rng.integers(0, 256, 3).tolist()), (60, 60, 60))
        draw.text((left + 2, top + 1), "File  Edit  View", (0, 0, 0))
    return np.asarray(image)


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (*rng.integers(16, 160, 2), 3), np.uint8)


def flat(rng: np.random.Generator) -> np.ndarray:
    height, width = rng.integers(1, 160, 2)
    return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)


def own(stylized: list[np.ndarray]) -> Draw:
    return lambda rng: stylized[rng.integers(len(stylized))]


def stylized_images() -> list[np.ndarray]:
    """A scene of a few sizes in every style that comes with the project."""
    found = []
    for folder in sorted(weights.parent for weights in PRETRAINED.glob("*/weights.npz")):
        styles = read_model(folder).styles
        for style in [None] if len(styles) == 1 else styles:
            stylizer = Stylizer(folder, style=style)
            for seed, (height, width) in enumerate(STYLIZED_SIZES):
                content = Image.fromarray(scene(np.random.default_rng(seed)))
                found.append(stylizer(np.asarray(content.resize((width, height)))))
    return found


# What writes them


def by_pillow(rgb: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    mode = str(rng.choice(["RGB", "RGB", "RGB", "L", "CMYK"]))
    options: dict[str, int] = {"quality": int(rng.integers(30, 101))}
    if mode == "RGB":
        options["subsampling"] = int(rng.integers(3))
    for option in ("progressive", "optimize"):
        if rng.random() < 0.3:
            options[option] = 1
    if rng.random() < 0.3:
        option = str(rng.choice(["restart_marker_rows", "restart_marker_blocks"]))
        options[option] = int(rng.integers(1, 9))
    return f"JPEG {mode} {options}", saved(Image.fromarray(rgb).convert(mode), "JPEG", options)


def by_opencv(rgb: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    sampling = str(rng.choice(list(SAMPLING)))
    options = {
        cv2.IMWRITE_JPEG_QUALITY: int(rng.integers(30, 101)),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: SAMPLING[sampling],
        cv2.IMWRITE_JPEG_PROGRESSIVE: int(rng.random() < 0.3),
        cv2.IMWRITE_JPEG_OPTIMIZE: int(rng.random() < 0.3),
        cv2.IMWRITE_JPEG_RST_INTERVAL: int(rng.choice([0, 0, 1, 7])),
    }
    pixels = rgb[..., 1] if rng.random() < 0.2 else rgb[..., ::-1]
    written, data = cv2.imencode(
        ".jpg", pixels, [part for pair in options.items() for part in pair]
    )
    assert written
    return f"JPEG {sampling} {options}", data.tobytes()


def by_ffmpeg(rgb: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    pixels, scale = str(rng.choice(FFMPEG_PIXELS)), str(rng.integers(1, 20))
    codec = av.CodecContext.create("mjpeg", "w")
    assert isinstance(codec, av.VideoCodecContext)
    # Of odd sides FFmpeg stores less chroma than there is, so 2 pixels at least.
    rgb = np.ascontiguousarray(np.resize(rgb, (max(2, rgb.shape[0]), max(2, rgb.shape[1]), 3)))
    codec.height, codec.width = rgb.shape[:2]
    codec.pix_fmt, codec.time_base = pixels, Fraction(1, 25)
    codec.options = {
        "qmin": scale,
        "qmax": scale,
        "huffman": str(rng.choice(["default", "optimal"])),
    }
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pixels)
    packets = [*codec.encode(frame), *codec.encode(None)]
    return f"JPEG {pixels} {codec.options}", b"".join(map(bytes, packets))


def by_this_project(rgb: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    ending, quality = str(rng.choice(list(WRITTEN))), int(rng.integers(30, 101))
    return f"{ending} {quality}", encode_picture(Picture(rgb), ending, quality)


def other_formats(rgb: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    image = Image.fromarray(rgb)
    kinds: list[tuple[str, Image.Image, dict]] = [
        ("PNG", image, {"optimize": True}),
        ("PNG", image.quantize(64), {}),
        ("PNG", image.convert("1"), {}),
        ("GIF", image.quantize(200), {}),
        ("WEBP", image, {"quality": 80}),
        ("WEBP", image, {"lossless": True}),
        ("BMP", image.convert("L"), {}),
        ("AVIF", image, {"quality": 70, "speed": 10}),
        ("JPEG2000", image, {}),
        *(
            ("TIFF", image, {"compression": name})
            for name in ("raw", "tiff_lzw", "packbits", "jpeg")
        ),
    ]
    file_format, image, options = kinds[rng.integers(len(kinds))]
    return f"{file_format} {image.mode} {options}", saved(image, file_format, options)


def saved(image: Image.Image, file_format: str, options: dict) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


SOURCES: dict[str, Draw] = {
    "scene": scene,
    "text": text,
    "screenshot": screenshot,
    "noise": noise,
    "flat": flat,
}
ENCODERS: dict[str, Encode] = {
    "Pillow": by_pillow,
    "OpenCV": by_opencv,
    "FFmpeg": by_ffmpeg,
    "fast-style": by_this_project,
    "others": other_formats,
}
SHARES = (0.3, 0.25, 0.15, 0.2, 0.1)


if __name__ == "__main__":
    sys.exit(main())

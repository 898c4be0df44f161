"""What spoils stylized images though the objective hardly notices it, each as one figure."""

import numpy as np

from fast_style.pictures.pixels import LUMA

EDGE = 16
BLOCK = 16
NEAR = 6  # grey levels from the end of the range


def grid_energy(rgb: np.ndarray, period: int) -> float:
    """How far the frequencies of the upsampling grid stand out of those around them; 1: not at all.

    rgb: (H, W, 3), 0..255, at least 64 pixels a side. period: what the network upsamples by in all.
    Convolutions after an upsampling by 4 leave patterns that repeat every 4 or 2 pixels (Odena et
    al. 2016, "Deconvolution and Checkerboard Artifacts"): peaks at quarters and halves of the
    sampling frequency; by 8, at eighths too, where other networks leave none, so that a mean over
    them would hide what these leave. The mean power there over the median power in the
    neighbourhood, averaged over those frequencies. JPEG's blocks leave such peaks too, so the
    content image's figure is what to compare with.
    """
    height, width = (side - side % period for side in rgb.shape[:2])
    grey = rgb[:height, :width].astype(np.float64) @ LUMA
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    ratios = []
    for down in range(period):
        for across in range(period):
            if down or across:
                y, x = down * height // period, across * width // period
                around = _wrapped(power, y, x, 8)
                peak = _wrapped(power, y, x, 1)
                ratios.append(peak.mean() / max(float(np.median(around)), 1e-12))
    # A window's peak is three bins wide, and the mean of random power is above its median.
    return float(np.mean(ratios) * np.log(2))


def frame_shift(part: np.ndarray, whole: np.ndarray) -> float:
    """By how many grey levels the outer 16 pixels of a stylized picture have other colours.

    part: (H, W, 3), 0..255, more than 32 pixels a side: the stylized image of a part of a picture;
    whole: the same part of the stylized image of the whole picture, where it has no edges. What
    differs at the edges and not inside, as a mean over them for each of R, G and B: single strokes
    fall elsewhere, a frame stays. The root of the three numbers' mean square.
    """
    shift = part.astype(np.float64) - whole
    inside = np.zeros(shift.shape[:2], bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    return float(np.sqrt(np.mean((shift[~inside].mean(axis=0) - shift[inside].mean(axis=0)) ** 2)))


def blotched_share(rgb: np.ndarray) -> float:
    """The share of 16 x 16 blocks in which every value is within 6 of 0 or of 255.

    Such blocks are flat black, flat white or a flat saturated colour: pictures have few of them.
    rgb: (H, W, 3), 0..255, at least 16 pixels a side.
    """
    height, width = (side - side % BLOCK for side in rgb.shape[:2])
    at_an_end = (np.minimum(rgb, 255 - rgb) <= NEAR).min(axis=2)
    blocks = at_an_end[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float(blocks.all(axis=(1, 3)).mean())


def _wrapped(power: np.ndarray, y: int, x: int, reach: int) -> np.ndarray:
    span = np.arange(-reach, reach + 1)
    return power.take(y + span, axis=0, mode="wrap").take(x + span, axis=1, mode="wrap")

"""Figures of artefacts of stylized images that hardly change the objective."""

import numpy as np

from fast_style.pictures.pixels import LUMA

EDGE = 16
BLOCK = 16
NEAR = 6  # grey levels from the end of the range


def grid_energy(rgb: np.ndarray, period: int) -> float:
    """Returns the power at the upsampling grid's frequencies over that around them; 1: no grid.

    rgb: (H, W, 3), 0..255, at least 64 pixels a side. period: of the network's upsampling in all.
    Convolutions after an upsampling by 4 leave patterns that repeat every 4 or 2 pixels (Odena et
    al. 2016, "Deconvolution and Checkerboard Artifacts"): peaks at quarters and halves of the
    sampling frequency. Upsampling by 8 leaves peaks at eighths too. The result is the mean power
    there over the median power around it, averaged over these frequencies. JPEG's blocks leave such
    peaks too, so compare with the figure of the content image.
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
    """Returns the difference in colour of a stylized picture's outer 16 pixels, in grey levels.

    part: (H, W, 3), 0..255, more than 32 pixels a side: a part of a picture, stylized. whole: the
    same part of the stylized whole picture, which has no edges there. The result is the root mean
    square over R, G and B of the mean difference at the edges minus that inside, so that a frame
    counts and single moved strokes do not.
    """
    shift = part.astype(np.float64) - whole
    inside = np.zeros(shift.shape[:2], bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    return float(np.sqrt(np.mean((shift[~inside].mean(axis=0) - shift[inside].mean(axis=0)) ** 2)))


def blotched_share(rgb: np.ndarray) -> float:
    """Returns the share of 16 x 16 blocks in which every value is within 6 of 0 or of 255.

    Such blocks are flat and black, white or saturated; pictures have few of them.
    rgb: (H, W, 3), 0..255, at least 16 pixels a side.
    """
    height, width = (side - side % BLOCK for side in rgb.shape[:2])
    at_an_end = (np.minimum(rgb, 255 - rgb) <= NEAR).min(axis=2)
    blocks = at_an_end[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float(blocks.all(axis=(1, 3)).mean())


def _wrapped(power: np.ndarray, y: int, x: int, reach: int) -> np.ndarray:
    span = np.arange(-reach, reach + 1)
    return power.take(y + span, axis=0, mode="wrap").take(x + span, axis=1, mode="wrap")

"""Kernels in 8 bits with a scale for each output channel, as in the shipped networks."""

from collections.abc import Mapping

import numpy as np

SCALE = "_scale"
LARGEST = 127


def quantized(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns 4-dimensional arrays as int8, with float32 scales NAME_scale, others as float16.

    The scale of an output channel (the last axis) is its largest weight / 127. The error of a
    weight is at most half of that.
    """
    packed: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim == 4:
            scale = np.abs(array).max((0, 1, 2)).astype(np.float32) / LARGEST
            steps = array / np.where(scale > 0, scale, 1)
            packed[name] = np.rint(steps).astype(np.int8)
            packed[name + SCALE] = scale
        else:
            packed[name] = array.astype(np.float16)
    return packed


def dequantized(packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reverts `quantized`: kernels in float32. Arrays without a scale stay as they are."""
    arrays = {}
    for name, array in packed.items():
        scale = packed.get(name + SCALE)
        if array.dtype == np.int8 and scale is not None and scale.shape == array.shape[-1:]:
            arrays[name] = array * scale.astype(np.float32)
        elif not (name.endswith(SCALE) and name.removesuffix(SCALE) in packed):
            arrays[name] = array
    return arrays

"""A first student: the channels of the teacher that say most, and the kernels nearest to theirs."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from fast_style.conf.vgg_layers import PIXEL_MEAN
from fast_style.loss.vgg_weights import Weights

ChosenChannels = dict[str, np.ndarray]
"""Layer to the numbers of the teacher's channels that the student has, in rising order."""

POSITIONS = 1500
"""Of each batch, drawn at random, at which the kernels of a layer are fitted."""

RIDGE = 1e-4
"""Of the mean square of the inputs: what is added to the diagonal of the normal equations."""


def spanning_channels(second_moments: np.ndarray, count: int) -> np.ndarray:
    """The channels that span a layer's features best: (count,) indices, in rising order.

    second_moments: (C, C), the mean of the outer products of the features. Each next channel is
    the one that those before explain worst, in units of its own size: the pivots of a Cholesky
    decomposition (Golub and Van Loan, section 10.3), of channels scaled to the root of their size,
    so that neither a faint channel nor a loud one decides.
    """
    scale = np.diag(second_moments) ** -0.25
    scale[~np.isfinite(scale)] = 0
    rest = second_moments * np.outer(scale, scale)
    chosen: list[int] = []
    for _ in range(count):
        left = np.diag(rest).copy()
        left[chosen] = -np.inf
        pivot = int(left.argmax())
        chosen.append(pivot)
        column = rest[:, pivot]
        rest = rest - np.outer(column, column) / max(column[pivot], 1e-12)
    return np.sort(chosen)


def fit_convolution(
    pairs: Iterable[tuple[tf.Tensor, tf.Tensor]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The 3x3 convolution that comes nearest to wanted outputs, by least squares.

    pairs: batches of inputs (N, h, w, C) and of wanted outputs (N, h, w, filters), before the
    ReLU. Returns a kernel (3, 3, C, filters) and a bias (filters,), float32.
    """
    random = np.random.default_rng(seed)
    squares, products = np.zeros(()), np.zeros(())
    inputs = filters = 0
    for given, wanted in pairs:
        inputs, filters = given.shape[-1], wanted.shape[-1]
        patches = tf.image.extract_patches(given, [1, 3, 3, 1], [1] * 4, [1] * 4, "SAME")
        patches = tf.reshape(patches, (-1, 9 * inputs))
        places = random.choice(len(patches), min(POSITIONS, len(patches)), replace=False)
        x = np.pad(tf.gather(patches, places).numpy(), ((0, 0), (0, 1)), constant_values=1)
        y = tf.gather(tf.reshape(wanted, (-1, filters)), places).numpy()
        squares, products = squares + x.T @ x, products + x.T @ y
    ridge = RIDGE * np.diag(squares)[:-1].mean()
    solution = np.linalg.solve(squares + ridge * np.eye(len(squares)), products)
    kernel = solution[:-1].reshape(3, 3, inputs, filters)
    return kernel.astype(np.float32), solution[-1].astype(np.float32)


def prune(
    teacher: Weights, widths: Mapping[str, int], batches: Sequence[np.ndarray], seed: int = 0
) -> tuple[Weights, ChosenChannels]:
    """A narrower network whose channels come as near as they can to channels of the teacher.

    Layer by layer, as in He, Zhang and Sun 2017 (section 3): the channels that span the teacher's
    layer are chosen, and the kernels that make them of what the student has so far are fitted.

    teacher: as read_weights returns it. widths: the number of channels of each layer. batches:
    (N, H, W, 3) uint8 RGB. seed: decides at which places kernels are fitted.
    Returns the student's weights, and the numbers of the teacher's channels that they stand for.
    """
    student: Weights = {}
    chosen: dict[str, np.ndarray] = {}
    images = [tf.cast(batch, tf.float32) - PIXEL_MEAN for batch in batches]
    # Of each batch: the teacher's features so far, and the student's.
    found = [(batch, batch) for batch in images]
    for layer, (kernel, bias) in teacher.items():
        if layer.endswith("conv1") and student:
            found = [(pool(whole), pool(narrow)) for whole, narrow in found]
        outputs = [tf.nn.conv2d(whole, kernel, 1, "SAME") + bias for whole, _ in found]
        moments = np.sum([_second_moments(output) for output in outputs], axis=0)
        chosen[layer] = spanning_channels(moments, widths[layer])
        pairs = [
            (narrow, tf.gather(output, chosen[layer], axis=-1))
            for (_, narrow), output in zip(found, outputs, strict=True)
        ]
        kernel, bias = student[layer] = fit_convolution(pairs, seed)
        found = [
            (tf.nn.relu(output), tf.nn.relu(tf.nn.conv2d(narrow, kernel, 1, "SAME") + bias))
            for (_, narrow), output in zip(found, outputs, strict=True)
        ]
    return student, chosen


def pool(features: tf.Tensor) -> tf.Tensor:
    """Average pooling, with which styles are trained: half the sides, rounded down."""
    return tf.nn.avg_pool2d(features, 2, 2, "VALID")


def _second_moments(outputs: tf.Tensor) -> np.ndarray:
    features = tf.nn.relu(outputs)
    return tf.einsum("nhwc,nhwd->cd", features, features).numpy()

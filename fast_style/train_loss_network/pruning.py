"""The first weights of a student: channels that span the teacher's, and kernels that give them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from fast_style.conf.vgg_layers import PIXEL_MEAN
from fast_style.errors import UserError
from fast_style.loss.vgg_weights import Weights

ChosenChannels = dict[str, np.ndarray]
"""The numbers of the teacher's channels that the student has, in rising order, by layer."""

POSITIONS = 1500  # random positions in each batch at which the kernels of a layer are fitted
RIDGE = 1e-4  # added to the diagonal of the normal equations, relative to the inputs' mean square


def spanning_channels(second_moments: np.ndarray, count: int) -> np.ndarray:
    """Returns the channels that span a layer's features best: (count,) indices, in rising order.

    second_moments: (C, C), the mean or sum of the outer products of the features. Each next channel
    is the one that the channels before it explain worst: these are the pivots of a Cholesky
    decomposition (Golub and Van Loan, section 10.3). Each channel is divided by the square root of
    its size (root mean square) first, so that strong channels count more, but not exclusively.
    """
    squares = np.diag(second_moments)
    scale = np.where(squares > 0, np.where(squares > 0, squares, 1.0) ** -0.25, 0.0)
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
    """Returns the least-squares 3x3 convolution: kernel (3, 3, C, filters) and bias (filters,).

    pairs: batches of inputs (N, h, w, C) and of wanted outputs (N, h, w, filters), before the
    ReLU. seed: of the random positions. Both results are float32.
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
    """Returns the weights of a narrower network, and the teacher's channels that it approximates.

    Layer by layer, as in He, Zhang and Sun 2017 (section 3): spanning_channels chooses channels of
    the teacher, and fit_convolution gives kernels for them from the student's layer before.

    teacher: as read_weights returns it. widths: the number of channels of each layer. batches:
    (N, H, W, 3) uint8 RGB. seed: as for fit_convolution.
    Raises UserError if a layer of the teacher has no activation above 0.
    """
    student: Weights = {}
    chosen: dict[str, np.ndarray] = {}
    images = [tf.cast(batch, tf.float32) - PIXEL_MEAN for batch in batches]
    # The teacher's and the student's features of each batch.
    found = [(batch, batch) for batch in images]
    for layer, (kernel, bias) in teacher.items():
        if layer.endswith("conv1") and student:
            found = [(pool(whole), pool(narrow)) for whole, narrow in found]
        outputs = [tf.nn.conv2d(whole, kernel, 1, "SAME") + bias for whole, _ in found]
        moments = np.sum([_second_moments(output) for output in outputs], axis=0)
        if not moments.any():
            raise UserError(f"--teacher: {layer} has no activation above 0; take other weights")
        chosen[layer] = spanning_channels(moments, widths[layer])
        pairs = (
            (narrow, tf.gather(output, chosen[layer], axis=-1))
            for (_, narrow), output in zip(found, outputs, strict=True)
        )
        kernel, bias = student[layer] = fit_convolution(pairs, seed)
        found = [
            (tf.nn.relu(output), tf.nn.relu(tf.nn.conv2d(narrow, kernel, 1, "SAME") + bias))
            for (_, narrow), output in zip(found, outputs, strict=True)
        ]
    return student, chosen


def pool(features: tf.Tensor) -> tf.Tensor:
    """Average pooling, as in the conf's `pooling: avg`: half the sides, rounded down."""
    return tf.nn.avg_pool2d(features, 2, 2, "VALID")


def _second_moments(outputs: tf.Tensor) -> np.ndarray:
    features = tf.nn.relu(outputs)
    return tf.einsum("nhwc,nhwd->cd", features, features).numpy()

"""The layers of the transformer network. They use keras.ops only, so any backend runs them."""

import contextlib

import keras
from keras import ops

from fast_style import hardware
from fast_style.network.architecture import (
    DOUBLED_KERNELS,
    DOUBLINGS,
    EPSILON,
)


@keras.saving.register_keras_serializable("fast_style")
class InstanceNormalization(keras.layers.Layer):
    """Normalizes every channel of every picture over its positions, then scales and shifts it.

    Ulyanov, Vedaldi and Lempitsky (2017), section 2. Statistics and variables are float32 with
    every dtype policy.
    """

    def build(self, input_shape):
        shape = input_shape[-1:]
        self.scale = self.add_weight(shape, "ones", name="scale", autocast=False)
        self.shift = self.add_weight(shape, "zeros", name="shift", autocast=False)

    def call(self, features, training=False):
        if training and _fused_form_pays(features):
            from fast_style.network.fused_normalization import normalize

            return normalize(features, self.scale, self.shift, EPSILON)
        wide = ops.cast(features, "float32")
        mean = ops.mean(wide, axis=(1, 2), keepdims=True)
        centred = wide - mean
        variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
        factor = self.scale * ops.rsqrt(variance + EPSILON)
        return ops.cast(centred * factor + self.shift, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


def _fused_form_pays(features) -> bool:
    return (
        keras.backend.backend() == "tensorflow"
        and keras.backend.standardize_dtype(features.dtype) == "bfloat16"
        and features.shape[0] is not None
        and not hardware.has_gpu()
    )


@keras.saving.register_keras_serializable("fast_style")
class ValidConv2D(keras.layers.Conv2D):
    """An unpadded Conv2D that uses the fastest form of this machine in training.

    Outside training it is the plain operation, which every export format supports.
    """

    def call(self, features, training=False):
        found = self.convolve(features, self.kernel, training)
        return found + self.bias if self.use_bias else found

    def convolve(self, features, kernel, training):
        if training and _avx2_form_pays(kernel):
            from fast_style.network.avx2_convolution import convolve

            return convolve(features, kernel, self.strides[0])
        return ops.conv(features, kernel, self.strides)


def _avx2_form_pays(kernel) -> bool:
    return (
        keras.backend.backend() == "tensorflow"
        and keras.backend.standardize_dtype(kernel.dtype) == "float32"
        and hardware.trains_on_avx2()
    )


@keras.saving.register_keras_serializable("fast_style")
class RowwiseConv2D(ValidConv2D):
    """An unstrided convolution to few channels, as the same sum in another order.

    CPU libraries fill vectors with output channels, so 3 of them cost as much as 16. Here each row
    of the kernel has its own output channels (27 for a 9 x 9 kernel with 3), which are added up
    over the rows. The network's last convolution takes a tenth of the time.
    """

    def convolve(self, features, kernel, training):
        rows, columns, channels, filters = kernel.shape
        flat = ops.reshape(ops.transpose(kernel, (1, 2, 0, 3)), (1, columns, channels, -1))
        found = super().convolve(features, flat, training)
        height = ops.shape(found)[1] - rows + 1
        return sum(
            found[:, row : row + height, :, row * filters : (row + 1) * filters]
            for row in range(rows)
        )


@keras.saving.register_keras_serializable("fast_style")
class ResizeConv2D(ValidConv2D):
    """Doubling, reflection padding and a 3x3 convolution in one (Odena et al. 2016).

    doubling: one of architecture.DOUBLINGS. The same sum is a convolution of the small features
    with four sets of kernels, for even and odd rows and columns, whose outputs interleave. The
    doubled input is never in memory. For 'nearest' the kernels are 2x2, with less than half of the
    arithmetic.
    """

    def __init__(self, *args, doubling: str = "nearest", **kwargs):
        super().__init__(*args, **kwargs)
        self.doubling = doubling

    def call(self, features, training=False):
        _, height, width, channels = ops.shape(features)
        filters = self.filters
        taps = DOUBLINGS[self.doubling]
        side = taps.shape[1]
        kernel = ops.einsum(DOUBLED_KERNELS, taps, taps, self.kernel)
        kernel = ops.cast(ops.reshape(kernel, (side, side, channels, -1)), features.dtype)
        # Reflection of the doubled picture repeats the small one's last pixel.
        padded = ops.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
        found = self.convolve(padded, kernel, training)
        of_four = ops.split(found, 4, axis=-1)
        surplus = 3 - side  # 2x2 kernels give one row and column more than there are pixels
        rows: list = []
        for down in (0, surplus):
            columns: list = []
            for across in (0, surplus):
                part = of_four[2 * len(rows) + len(columns)]
                columns.append(part[:, down : down + height, across : across + width])
            rows.append(ops.stack(columns, axis=3))
        found = ops.reshape(ops.stack(rows, axis=2), (-1, 2 * height, 2 * width, filters))
        return found + self.bias if self.use_bias else found

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        grown = [None if side is None else 2 * side for side in (height, width)]
        return (batch, *grown, self.filters)

    def get_config(self):
        return {**super().get_config(), "doubling": self.doubling}


def reflected(x, padding: int):
    """Mirrors (N, H, W, C) features at their borders; `padding` must be below H and W."""
    return ops.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")


def convolution(x, filters: int, kernel: int, stride: int = 1, *, name: str):
    """Reflection padding, then a convolution of H x W to ceil(H / stride) x ceil(W / stride)."""
    x = reflected(x, kernel // 2)
    return ValidConv2D(filters, kernel, stride, use_bias=False, name=name)(x)


def rgb_convolution(x, kernel: int, *, name: str):
    """Reflection padding, then a convolution with biases to 3 channels."""
    return RowwiseConv2D(3, kernel, name=name)(reflected(x, kernel // 2))


def rgb_resize_convolution(x, doubling: str = "nearest", *, name: str):
    """Doubling and a 3x3 convolution with biases to 3 channels."""
    return ResizeConv2D(3, 3, doubling=doubling, name=name)(x)


def normalized_convolution(x, filters: int, kernel: int, stride: int = 1, *, name: str):
    """Convolution, instance normalization, ReLU."""
    x = convolution(x, filters, kernel, stride, name=name)
    x = InstanceNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def residual_block(x, filters: int, *, name: str):
    """Two 3x3 convolutions plus the identity, without a ReLU after the sum.

    Gross and Wilber (2016), as in the supplement of Johnson et al. (2016), who do not pad and crop
    the identity; here reflection keeps the size.
    """
    y = normalized_convolution(x, filters, 3, name=f"{name}_conv1")
    y = convolution(y, filters, 3, name=f"{name}_conv2")
    y = InstanceNormalization(name=f"{name}_conv2_norm")(y)
    return keras.layers.Add(name=name)([x, y])


def resize_convolution(x, filters: int, doubling: str = "nearest", *, name: str):
    """Doubling and a 3x3 convolution, instance normalization, ReLU."""
    x = ResizeConv2D(filters, 3, use_bias=False, doubling=doubling, name=name)(x)
    x = InstanceNormalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


@contextlib.contextmanager
def default_dtype(policy: str):
    """Layers built in the block have this dtype policy, such as 'mixed_bfloat16', by default."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)

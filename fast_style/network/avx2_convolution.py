"""A convolution and its gradients in the forms that are fastest in oneDNN without AVX-512.

In a training TensorFlow passes weights to oneDNN in plain order. A forward convolution then is
im2col and a matrix product, at about half the speed of the same arithmetic as the gradient of
another convolution, for which oneDNN reorders the weights. Gradients by weights are slower than
matrix products. Measured with TensorFlow 2.21 (oneDNN 3.7) on AMD Zen 3.
"""

import tensorflow as tf

FEW_CHANNELS = 16  # fewer make matrix products slow


def convolve(features, kernel, stride: int):
    """Returns tf.nn.conv2d(features, kernel, stride, "VALID"), except for rounding.

    features: (N, H, W, C), kernel: (rows, columns, C, filters), both float32.
    """

    @tf.custom_gradient
    def convolved(features, kernel):
        def gradient(slope):
            by_features = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(features),
                filter=kernel,
                out_backprop=slope,
                strides=[1, stride, stride, 1],
                padding="VALID",
            )
            return by_features, _by_kernel(features, slope, kernel, stride)

        if stride > 1 or kernel.shape[2] < FEW_CHANNELS:
            return tf.nn.conv2d(features, kernel, stride, "VALID"), gradient
        return _as_a_gradient(features, kernel), gradient

    return convolved(features, tf.convert_to_tensor(kernel))


def _as_a_gradient(features, kernel):
    """Returns the convolution, as the gradient by the input of one with the mirrored kernel.

    It is padded as "SAME" and cropped: with explicit padding TensorFlow does not use oneDNN.
    """
    rows, columns, _, filters = kernel.shape
    mirrored = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
    batch, height, width, _ = tf.unstack(tf.shape(features))
    padded = tf.nn.conv2d_transpose(
        features, mirrored, (batch, height, width, filters), strides=1, padding="SAME"
    )
    top, left = rows // 2, columns // 2
    return padded[:, top : top + height - rows + 1, left : left + width - columns + 1]


def _by_kernel(features, slope, kernel, stride: int):
    rows, columns, channels, filters = kernel.shape
    if channels < FEW_CHANNELS:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=features,
            filter_sizes=kernel.shape,
            out_backprop=slope,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )
    _, height, width, _ = tf.unstack(tf.shape(slope))
    slopes = tf.reshape(slope, (-1, filters))

    def at(row: int, column: int):
        below, beside = row + stride * (height - 1) + 1, column + stride * (width - 1) + 1
        seen = features[:, row:below:stride, column:beside:stride]
        return tf.matmul(tf.reshape(seen, (-1, channels)), slopes, transpose_a=True)

    return tf.stack(
        [tf.stack([at(row, column) for column in range(columns)]) for row in range(rows)]
    )

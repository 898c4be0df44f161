"""A convolution and its gradients in the forms that oneDNN is quick at on CPUs without AVX-512.

TensorFlow hands oneDNN the weights of a training in their plain order. With those, a forward
convolution becomes im2col and a matrix product, at about half the speed that the same arithmetic
has as the gradient of another convolution, whose weights may be reordered first; and gradients by
weights are slower than matrix products. Measured with TensorFlow 2.21 (oneDNN 3.7) on AMD Zen 3.
"""

import tensorflow as tf

# Below this, a matrix product has too little to do for each row that it reads.
FEW_CHANNELS = 16


def convolve(features, kernel, stride: int):
    """What tf.nn.conv2d(features, kernel, stride, "VALID") gives, up to rounding.

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
    """The convolution as the gradient, by its input, of one with the mirrored kernel.

    Padded as "SAME" and the borders cut off again, because TensorFlow does not hand one with
    explicit padding to oneDNN.
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

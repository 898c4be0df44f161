"""SOAP: Adam in the basis in which a kernel's gradients are nearly uncorrelated."""

import keras
from keras import ops

SETTLING = 3  # first steps, at which the bases are computed from scratch


class Soap(keras.optimizers.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, algorithm 3).

    A (rows, columns, C, filters) kernel has three bases: for its rows * columns positions, its
    input channels and its output channels. Scales, shifts and biases use plain Adam. Steps are as
    large as Adam's, so learning rates are the same, and fewer of them are needed.

    Deviations from the paper: the first steps are not skipped but use new bases, and no element
    moves by more than the learning rate in its basis.
    """

    memory = 0.95  # the decay of means, squares and correlations
    epsilon = 1e-8
    basis_every = 10  # steps between new bases

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._mean, self._square, self._correlations, self._bases = [], [], [], []
        for variable in variables:
            shape = _sides(variable.shape)
            name = variable.path.replace("/", "_")
            self._mean.append(self.add_variable(shape, name=f"{name}_mean"))
            self._square.append(self.add_variable(shape, name=f"{name}_square"))
            turned = list(enumerate(shape)) if len(variable.shape) == 4 else []
            self._correlations.append(
                [self.add_variable((s, s), name=f"{name}_correlation{i}") for i, s in turned]
            )
            self._bases.append(
                [self.add_variable((s, s), name=f"{name}_basis{i}") for i, s in turned]
            )

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        mean, square = self._mean[index], self._square[index]
        gradient = ops.reshape(gradient, mean.shape)
        bases = self._updated_bases(gradient, self._correlations[index], self._bases[index])
        self.assign(mean, _towards(gradient, mean, self.memory))
        turned = _turn(gradient, bases)
        self.assign(square, _towards(ops.square(turned), square, self.memory))
        step = ops.cast(self.iterations + 1, "float32")
        unbiased_mean = _turn(mean / (1 - self.memory**step), bases)
        unbiased_square = square / (1 - self.memory**step)
        direction = unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon)
        # With equal memories no element of Adam's direction exceeds 1 (Jensen) while the basis is
        # the same. After it turned, a square may still be near 0 where the mean no longer is.
        direction = ops.clip(direction, -1.0, 1.0)
        back = _turn(direction, [ops.transpose(basis) for basis in bases])
        rate = ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * ops.reshape(back, variable.shape))

    def _updated_bases(self, gradient, correlations, bases):
        sides = range(len(gradient.shape))
        for side, correlation in enumerate(correlations):
            others = [other for other in sides if other != side]
            now = ops.tensordot(gradient, gradient, axes=[others, others])
            self.assign(correlation, _towards(now, correlation, self.memory))
        if not bases:
            return []
        now_correlated = [ops.convert_to_tensor(correlation) for correlation in correlations]
        before = [ops.convert_to_tensor(basis) for basis in bases]
        settling = self.iterations < SETTLING
        due = ops.logical_or(settling, ops.equal(self.iterations % self.basis_every, 0))
        fresh = ops.cond(
            due,
            lambda: ops.cond(
                settling,
                lambda: [_eigenbasis(correlation) for correlation in now_correlated],
                # One step of the power iteration is enough, because the basis changes slowly.
                lambda: [
                    ops.qr(ops.matmul(correlation, basis))[0]
                    for correlation, basis in zip(now_correlated, before, strict=True)
                ],
            ),
            lambda: before,
        )
        for basis, new in zip(bases, fresh, strict=True):
            self.assign(basis, new)
        return fresh


def _eigenbasis(correlation):
    # eigh raises if a gradient was not finite, which the training loop reports.
    sound = ops.all(ops.isfinite(correlation))
    return ops.eigh(ops.where(sound, correlation, ops.eye(correlation.shape[0])))[1]


def _sides(shape) -> tuple[int, ...]:
    """Returns (positions, inputs, outputs) of a kernel's shape; other shapes unchanged."""
    return (shape[0] * shape[1], *shape[2:]) if len(shape) == 4 else tuple(shape)


def _towards(new, old, memory: float):
    return memory * old + (1 - memory) * new


def _turn(tensor, bases):
    """Returns the tensor with each side in its basis, whose columns are the new axes."""
    for side, basis in enumerate(bases):
        tensor = ops.moveaxis(ops.tensordot(tensor, basis, axes=[[side], [0]]), -1, side)
    return tensor

"""SOAP against an independent NumPy version, and where it should help."""

import keras
import numpy as np
import pytest

from fast_style.training.soap import SETTLING, Soap


def by_hand(start: np.ndarray, gradients: list[np.ndarray], rate: float, every: int) -> np.ndarray:
    """Soap's steps on one (rows, columns, C, filters) kernel in float64."""
    rows, columns, channels, filters = start.shape
    shape = (rows * columns, channels, filters)
    weights = start.reshape(shape).astype(np.float64)
    mean, square = np.zeros(shape), np.zeros(shape)
    correlations = [np.zeros((side, side)) for side in shape]
    bases = [np.eye(side) for side in shape]
    for step, gradient in enumerate(gradients):
        gradient = gradient.reshape(shape)
        unfolded = [np.moveaxis(gradient, side, 0).reshape(shape[side], -1) for side in range(3)]
        correlations = [
            0.95 * c + 0.05 * u @ u.T for c, u in zip(correlations, unfolded, strict=True)
        ]
        if step < SETTLING:
            bases = [np.linalg.eigh(c)[1] for c in correlations]
        elif step % every == 0:
            bases = [np.linalg.qr(c @ b)[0] for c, b in zip(correlations, bases, strict=True)]
        mean = 0.95 * mean + 0.05 * gradient
        turned = np.einsum("abc,ax,by,cz->xyz", gradient, *bases)
        square = 0.95 * square + 0.05 * turned**2
        turned_mean = np.einsum("abc,ax,by,cz->xyz", mean / (1 - 0.95 ** (step + 1)), *bases)
        direction = turned_mean / (np.sqrt(square / (1 - 0.95 ** (step + 1))) + 1e-8)
        direction = np.clip(direction, -1, 1)
        weights -= rate * np.einsum("xyz,ax,by,cz->abc", direction, *bases)
    return weights.reshape(start.shape)


def test_a_kernel_moves_as_computed_by_hand() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 2, 4, 5)).astype(np.float32)
    gradients = [rng.normal(size=start.shape).astype(np.float32) for _ in range(8)]
    kernel = keras.Variable(start)
    optimizer = Soap(0.01)
    optimizer.basis_every = 4
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    np.testing.assert_allclose(kernel, by_hand(start, gradients, 0.01, 4), atol=2e-4)


def test_scales_and_biases_move_as_with_adam() -> None:
    rng = np.random.default_rng(0)
    ours, adams = keras.Variable(np.ones(6, np.float32)), keras.Variable(np.ones(6, np.float32))
    soap, adam = Soap(0.01), keras.optimizers.Adam(0.01, 0.95, 0.95, epsilon=1e-8)
    for _ in range(5):
        gradient = keras.ops.convert_to_tensor(rng.normal(size=6).astype(np.float32))
        soap.apply([gradient], [ours])
        adam.apply([gradient], [adams])
    np.testing.assert_allclose(ours, adams, rtol=1e-5)


def test_correlated_inputs_are_fitted_better_than_with_adam() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    inputs = rng.normal(size=(256, 16)) * np.logspace(0, -1.5, 16) @ turn
    wanted = inputs @ rng.normal(size=(16, 8)) / 2

    def error_after_fitting(optimizer: keras.optimizers.Optimizer) -> float:
        kernel = keras.Variable(np.zeros((1, 1, 16, 8), np.float32))
        for step in range(200):
            left = inputs @ np.asarray(kernel)[0, 0] - wanted
            gradient = (inputs.T @ left / len(inputs))[None, None].astype(np.float32)
            optimizer.learning_rate = 0.05 * (1 - step / 200)
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        return float(np.square(left).mean())

    assert error_after_fitting(Soap(1e-3)) < error_after_fitting(keras.optimizers.Adam()) / 4


def test_variables_have_names_of_their_own() -> None:
    network = keras.Sequential([keras.layers.Conv2D(2, 3, name=f"conv{n}") for n in range(2)])
    network.build((None, 8, 8, 3))
    optimizer = Soap(1e-3)
    optimizer.build(network.trainable_variables)
    paths = [variable.path for variable in optimizer.variables]
    assert len(set(paths)) == len(paths) == 2 + 2 * (2 + 6) + 2 * 2


@pytest.mark.parametrize("basis_every", [1, 10])
def test_constant_gradients_leave_finite_weights(basis_every: int) -> None:
    kernel = keras.Variable(np.zeros((3, 3, 4, 4), np.float32))
    optimizer = Soap(0.01)
    optimizer.basis_every = basis_every
    for gradient in (np.zeros(kernel.shape, np.float32), np.ones(kernel.shape, np.float32)) * 6:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    assert np.isfinite(np.asarray(kernel)).all()

"""Two optimizers of the objective over the pixels of one picture."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from fast_style.conf.config import Config
from fast_style.errors import check_installed
from fast_style.loss.perceptual_loss import PerceptualLoss
from fast_style.loss.style_statistics import Style
from fast_style.model_folder.variables import assign_variables, variables_as_arrays

Terms = Mapping[str, float]
Arrays = dict[str, np.ndarray]
# Takes (1, H, W, 3) float32 pixels; returns the named terms and the gradient of their total.
Gradient = Callable[[np.ndarray], tuple[Terms, np.ndarray]]
# Called at the start and after each iteration with the number of iterations, the terms, the pixels
# as (1, H, W, 3) float32, and the optimizer's arrays to resume from.
Report = Callable[[int, Terms, np.ndarray, Arrays], None]


def gradients_of(config: Config, style: Style) -> Callable[[np.ndarray], Gradient]:
    """Returns the conf's objective: from a content image, (H, W, 3) uint8, to a function of pixels.

    All content images share one loss network, which is compiled once for each size.
    """
    objective = PerceptualLoss(config, [style])

    # Also a graph: for single operations oneDNN may use its slowest convolution, with which a full
    # VGG16 needs ten minutes at 1024 x 1024.
    content_targets = tf.function(objective.content_targets)

    @tf.function
    def terms_and_slope(pixels, targets):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            terms = objective(pixels, targets)
        return terms, tape.gradient(terms["total"], pixels)

    def gradient_for(content: np.ndarray) -> Gradient:
        targets = content_targets(tf.constant(content[None], tf.float32))

        def gradient(pixels: np.ndarray) -> tuple[Terms, np.ndarray]:
            terms, slope = terms_and_slope(tf.constant(pixels, tf.float32), targets)
            return {name: float(value) for name, value in terms.items()}, slope.numpy()

        return gradient

    return gradient_for


def minimize_by_adam(
    gradient: Gradient,
    start: np.ndarray,
    iterations: int,
    learning_rate: float,
    report: Report,
    *,
    done: int = 0,
    memory: Arrays | None = None,
) -> None:
    """Runs Keras's Adam until `iterations` are done, with pixels inside 0..255.

    start: (1, H, W, 3) float32. done and memory: as reported, to resume.
    """
    pixels = keras.Variable(start, name="pixels")
    optimizer = keras.optimizers.Adam(learning_rate, name="adam")
    optimizer.build([pixels])
    if memory:
        assign_variables("adam", optimizer.variables, memory, Path("the painting's progress"))
    while True:
        arrived = np.asarray(pixels)
        terms, slope = gradient(arrived)
        report(done, terms, arrived, variables_as_arrays("adam", optimizer.variables))
        if done >= iterations:
            return
        optimizer.apply([slope], [pixels])
        pixels.assign(keras.ops.clip(pixels, 0.0, 255.0))
        done += 1


def minimize_by_lbfgs(
    gradient: Gradient, start: np.ndarray, iterations: int, report: Report, *, done: int = 0
) -> None:
    """Runs SciPy's L-BFGS-B (Zhu et al. 1997) inside 0..255 until `iterations` are done.

    start: (1, H, W, 3) float32. SciPy does not return its memory of the last steps, so a resumed
    painting begins with an empty one. Ends early if no step makes the total smaller.
    Raises UserError if SciPy is not installed.
    """
    check_installed("pixel_optimizer: 'lbfgs' (unlike adam) needs", "gatys", "scipy")
    from scipy.optimize import Bounds, minimize

    terms, slope = gradient(start)
    # With bounds on every pixel the first step is the gradient itself, which may be too small to
    # change a float32 total, or far too large. Scaled, it moves pixels by about a grey level.
    scale = float(np.sqrt(slope.size) / (np.linalg.norm(slope) or 1.0))

    def total_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal terms
        terms, slope = gradient(flat.reshape(start.shape).astype(np.float32))
        return scale * terms["total"], scale * slope.ravel().astype(np.float64)

    def arrived(flat: np.ndarray) -> None:
        nonlocal done
        done += 1
        report(done, terms, flat.reshape(start.shape).astype(np.float32), {})

    report(done, terms, start, {})
    flat = start.ravel().astype(np.float64)
    while done < iterations:
        before = done
        options = {"maxiter": iterations - done, "maxfun": 20 * iterations, "ftol": 0, "gtol": 0}
        flat = minimize(
            total_and_gradient,
            flat,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0.0, 255.0),
            callback=arrived,
            options=options,
        ).x
        # A line search that failed in float32 may succeed with an empty memory.
        if done == before:
            break

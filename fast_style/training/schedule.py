"""The schedules of a training: the learning rate and the style weight at each step."""

import math

from fast_style.conf.config import Config

STYLE_RAMP_START = 0.02


def learning_rate(config: Config, step: int, steps: int) -> float:
    """Returns the rate at 0-based `step`: linear warm-up, then constant or a cosine down to 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / (steps - config.warmup_steps)
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def style_ramp(config: Config, step: int, steps: int) -> float:
    """Returns the factor on the style weight, from 2% to 1 over `style_ramp` of the steps.

    With the full weight from the start, the colours of a short training saturate, and the content
    returns slowly.
    """
    ramp_steps = config.style_ramp * steps
    if step >= ramp_steps:
        return 1.0
    return STYLE_RAMP_START + (1 - STYLE_RAMP_START) * step / ramp_steps

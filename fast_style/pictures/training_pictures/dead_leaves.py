"""Leaves that cover one another, strewn over a picture.

The dead leaves model (Lee, Mumford and Huang 2001, "Occlusion models for natural images"): leaves
of power-law sizes that cover one another have the power spectrum, the edges and the scale
invariance of natural images. Here they have many outlines, textures, shading and shadows.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fast_style.pictures.training_pictures.textures import KINDS, TILE, cloud, textures

# Directions in RGB besides grey: photographs vary most from cool to warm, then magenta to green.
WARM = np.array([1.0, 0.1, -1.1], np.float32)
GREEN = np.array([-0.5, 0.9, -0.6], np.float32)

_CORNERS = 24
"""Of every outline; a multiple of the corners of the polygons that leaves can be."""


def strewn(
    rng: np.random.Generator,
    picture: np.ndarray,
    palette: np.ndarray,
    horizon: float | None,
    *,
    cover: float,
) -> np.ndarray:
    """The picture (S, S, 3) float32 under leaves that together have `cover` times its area."""
    side = len(picture)
    angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)], np.float32)
    leaves = _leaves(rng, side, palette, light, horizon, cover)
    # Outlines are drawn at twice the size and averaged; what is inside them needs no averaging.
    twice = _topmost(leaves.outlines * 2, 2 * side)
    topmost = np.ascontiguousarray(twice[::2, ::2])

    opaque = np.zeros((len(leaves.colours), 4), np.uint8)
    opaque[1:, :3] = leaves.colours[1:]
    opaque[1:, 3] = 255
    pixels = opaque.view(np.uint32)[:, 0].take(twice)
    # RGBX, because reduce() would divide the colours of RGBA by the alpha.
    doubled = Image.frombuffer("RGBX", twice.shape, pixels.tobytes(), "raw", "RGBX", 0, 1)
    layer = np.asarray(doubled.reduce(2), np.float32)

    painted = layer[..., :3] * _surface(leaves.attributes, topmost)[..., None]
    painted += picture * (1 - layer[..., 3:] / 255)
    painted *= _shadow(rng, leaves.height.take(topmost), light)[..., None]
    return painted


@dataclass(frozen=True)
class _Leaves:
    """What was strewn, farthest first; each array has one row per leaf and one for the ground."""

    outlines: np.ndarray  # (n, 24, 2) pixels
    colours: np.ndarray  # (1 + n, 3) uint8; row 0, the ground, is not used
    height: np.ndarray  # (1 + n,) uint8, above the ground
    attributes: np.ndarray  # (14, 1 + n) float32, see _surface


def _leaves(
    rng: np.random.Generator,
    side: int,
    palette: np.ndarray,
    light: np.ndarray,
    horizon: float | None,
    cover: float,
) -> _Leaves:
    smallest = rng.uniform(1.5, 8.0) / side
    largest = rng.uniform(0.15, 0.7)
    # Density r^-3 between the two is what makes the picture scale invariant; its mean area:
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    count = int(np.clip(cover / mean_area, 4, 1400 * side / 256))
    uniform = rng.random(count)
    radius = (smallest**-2 + uniform * (largest**-2 - smallest**-2)) ** -0.5

    across, down = rng.uniform(-0.05, 1.05, (2, count))
    order = rng.random(count)
    if horizon is not None:  # on the ground, and the smaller the farther away
        depth = rng.random(count) ** 1.5
        down = horizon - 0.03 + depth * (1.1 - horizon)
        radius = np.maximum(radius * (0.3 + 1.4 * depth), 1.2 / side)
        order = 0.8 * depth + 0.2 * order
    # Things have parts: small leaves lie on large ones.
    whole = np.argsort(radius)[-max(2, count // 20) :][
        rng.integers(max(2, count // 20), size=count)
    ]
    part = (rng.random(count) < rng.uniform(0, 0.9)) & (radius < radius[whole] / 2)
    away = rng.normal(0, 0.5, (2, count)) * radius[whole]
    across = np.where(part, across[whole] + away[0], across)
    down = np.where(part, down[whole] + away[1], down)
    nearer = np.argsort(np.where(part, order[whole] + 0.05, order))
    across, down, radius = across[nearer], down[nearer], radius[nearer]
    centre = np.stack([across, down], 1) * side
    radius = radius * side

    # Neighbours are of one kind and colour: both follow a slow noise over the picture.
    region = cloud(rng, 64, 128)[tuple((centre[:, ::-1] * 63 / side).astype(int).clip(0, 63).T)]
    region = region + rng.normal(0, rng.uniform(0.1, 0.8), count)
    ranks = np.argsort(np.argsort(region)) / count
    colours = palette[(ranks * len(palette)).astype(int)]
    colours = colours * np.exp(rng.normal(0, rng.uniform(0.1, 0.4), (count, 1)))
    colours = colours + rng.normal(0, 7, (count, 1)) * WARM + rng.normal(0, 5, (count, 1)) * GREEN

    turn = rng.uniform(0, 2 * np.pi, count)
    if rng.random() < 0.5:  # grain: all lie along one direction
        turn = rng.uniform(0, np.pi) + rng.normal(0, rng.uniform(0.05, 0.5), count)
    outlines = _outlines(rng, ranks, centre, radius, turn)

    kind = (rng.uniform(0, 0.4, count) + 0.599 * ranks) * KINDS
    rough = rng.uniform(0.05, 0.4) * rng.random(count)
    stripes = np.where(rng.random(count) < rng.uniform(0, 0.25), rng.uniform(0.05, 0.3, count), 0)
    attributes = [
        centre[:, 0],
        centre[:, 1],
        np.cos(turn),
        np.sin(turn),
        light[0] * rng.uniform(0, 0.4, count) / radius,
        light[1] * rng.uniform(0, 0.4, count) / radius,
        rng.uniform(0, 0.3, count) / radius**2,
        kind.astype(int) * TILE**2,
        rng.uniform(0.6, 1.6, count),
        rng.uniform(2, 3, count) * TILE,
        rng.uniform(2, 3, count) * TILE,
        rough,
        stripes,
        2 * np.pi / (radius * rng.uniform(0.12, 0.6, count)).clip(3.0),
    ]
    height = np.zeros(1 + count, np.uint8)
    height[1:] = (30 + 120 * rng.random(count) + 100 * np.arange(count) / count).astype(np.uint8)
    return _Leaves(
        outlines,
        np.pad(colours, ((1, 0), (0, 0))).clip(0, 255).astype(np.uint8),
        height,
        np.pad(attributes, ((0, 0), (1, 0))).astype(np.float32),
    )


def _outlines(
    rng: np.random.Generator,
    kind: np.ndarray,
    centre: np.ndarray,
    radius: np.ndarray,
    turn: np.ndarray,
) -> np.ndarray:
    """Ellipses, wobbly blobs, polygons, bars and bent blades: (n, 24, 2) float32, in pixels."""
    count = len(radius)
    angles = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    # A regular polygon in polar coordinates; with 24 corners it is a circle.
    families = rng.permutation([3, 4, 4, 6, 8, 24, 24, 24])[:4]
    corners = families[((0.5 * kind + 0.5 * rng.random(count)) * 3.999).astype(int)][:, None]
    sector = 2 * np.pi / corners
    reach = np.cos(sector / 2) / np.cos(angles % sector - sector / 2)
    waves = np.arange(2, 6)
    wobble = rng.normal(0, 1, (2, count, len(waves), 1)) * rng.gamma(1, 0.05, (count, 1, 1))
    phases = waves[:, None] * angles
    reach = reach * (1 + (wobble[0] * np.cos(phases) + wobble[1] * np.sin(phases)).sum(1) * 0.6)

    slender = rng.uniform(0.0, 1.0)
    aspect = np.exp(-slender * rng.gamma(1.5, 0.7, (count, 1))).clip(0.03)
    # Squares stand on their corners; an eighth of a turn makes them boards before they are thinned.
    standing = angles + np.where(corners == 4, np.pi / 4, 0)
    along, aside = reach * np.cos(standing), reach * np.sin(standing) * aspect
    aside = aside + rng.normal(0, 0.25, (count, 1)) * (1 - aspect) * along**2
    # Equal areas whatever the aspect, or the slender ones would not count.
    scale = radius[:, None] / np.sqrt(aspect)
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    outline = np.stack([along * cos - aside * sin, along * sin + aside * cos], 2)
    return (centre[:, None] + outline * scale[..., None]).astype(np.float32)


def _topmost(outlines: np.ndarray, side: int) -> np.ndarray:
    """Which leaf is seen at each pixel, counted from 1; 0 is the ground. (side, side) int32."""
    numbers = Image.new("I", (side, side))
    draw = ImageDraw.Draw(numbers)
    for number, outline in enumerate(outlines.reshape(len(outlines), -1).tolist(), start=1):
        draw.polygon(outline, fill=number)
    return np.asarray(numbers)


def _surface(attributes: np.ndarray, topmost: np.ndarray) -> np.ndarray:
    """How light each leaf's surface is at each pixel, 1 being its colour: (S, S) float32.

    attributes: (14, n) float32, in the order in which they are unpacked below.
    """
    place, slope, texture, stripe = np.split(attributes, [4, 7, 12])
    centre_x, centre_y, cos, sin = (of_leaf.take(topmost) for of_leaf in place)
    slope_x, slope_y, roundness = (of_leaf.take(topmost) for of_leaf in slope)
    kind, scale, start_x, start_y, roughness = (of_leaf.take(topmost) for of_leaf in texture)
    stripes, frequency = (of_leaf.take(topmost) for of_leaf in stripe)
    side = len(topmost)
    position = np.arange(side, dtype=np.float32)
    x, y = position[None, :] - centre_x, position[:, None] - centre_y
    along, aside = x * cos + y * sin, y * cos - x * sin
    shade = 1 + slope_x * x + slope_y * y - roundness * (x * x + y * y)
    column = (along * scale + start_x).astype(np.int32) & (TILE - 1)
    row = (aside * scale + start_y).astype(np.int32) & (TILE - 1)
    grain = textures().ravel().take(kind.astype(np.int32) + row * TILE + column)
    waves = np.sin(along * frequency + grain)
    return np.maximum(shade, 0.25) * (1 + roughness * grain + stripes * waves)


def _shadow(rng: np.random.Generator, height: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Light that reaches each pixel, 0..1: less where higher things are near, away from the light.

    The difference between a blurred depth buffer and the buffer itself (Luft et al. 2006, "Image
    enhancement by unsharp masking the depth buffer").
    """
    side = len(height)
    reach = rng.uniform(0.004, 0.03) * side
    blurred = np.asarray(Image.fromarray(height).filter(ImageFilter.GaussianBlur(reach)))
    columns, rows = (
        (np.arange(side) + np.rint(light * reach)[:, None]).astype(int).clip(0, side - 1)
    )
    around = blurred[rows[:, None], columns].astype(np.float32)
    return 1 - rng.uniform(0.1, 0.8) * ((around - height) / 160).clip(0, 0.8)

"""The dead leaves model: leaves that cover one another, strewn over a picture.

Leaves of power-law sizes that cover one another have the power spectrum, the edges and the scale
invariance of natural images (Lee, Mumford and Huang 2001, "Occlusion models for natural images").
Here they also have many outlines, textures, shading and shadows.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from fast_style.pictures.training_pictures.textures import KINDS, TILE, cloud, textures

# Photographs vary most in these directions of RGB, besides grey: from cool to warm, then from
# magenta to green.
WARM = np.array([1.0, 0.1, -1.1], np.float32)
GREEN = np.array([-0.5, 0.9, -0.6], np.float32)

_CORNERS = 24  # of each outline; a multiple of the corners of all polygons


def strewn(
    rng: Generator, picture: np.ndarray, palette: np.ndarray, horizon: float | None, cover: float
) -> np.ndarray:
    """Covers a picture, (S, S, 3) float32, with leaves of together `cover` times its area."""
    side = len(picture)
    angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)], np.float32)
    outlines, colours, height, attributes = _leaves(rng, side, palette, light, horizon, cover)
    # Outlines are drawn at twice the size and averaged; the surfaces inside need no averaging.
    twice = _topmost(outlines * 2, 2 * side)
    topmost = np.ascontiguousarray(twice[::2, ::2])

    opaque = np.zeros((len(colours), 4), np.uint8)
    opaque[1:, :3] = colours[1:]
    opaque[1:, 3] = 255
    pixels = opaque.view(np.uint32)[:, 0].take(twice)
    # RGBX, because reduce() would divide the colours of RGBA by the alpha.
    doubled = Image.frombuffer("RGBX", twice.shape, pixels.tobytes(), "raw", "RGBX", 0, 1)
    layer = np.asarray(doubled.reduce(2), np.float32)

    painted = layer[..., :3] * _surface(attributes, topmost)[..., None]
    painted += picture * (1 - layer[..., 3:] / 255)
    painted *= _shadow(rng, height.take(topmost), light)[..., None]
    return painted


def _leaves(
    rng: Generator,
    side: int,
    palette: np.ndarray,
    light: np.ndarray,
    horizon: float | None,
    cover: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the leaves, farthest first; number 0 is the ground, which has no outline.

    Outlines (n, 24, 2) float32 in pixels, colours (1 + n, 3) uint8, heights above the ground
    (1 + n,) uint8, and attributes (14, 1 + n) float32 (see _surface).
    """
    smallest = rng.uniform(1.5, 8.0) / side
    largest = rng.uniform(0.15, 0.7)
    # A density of r^-3 between the two makes the picture scale invariant. Its mean area:
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    count = int(np.clip(cover / mean_area, 4, 1400 * side / 256))
    uniform = rng.random(count)
    radius = (smallest**-2 + uniform * (largest**-2 - smallest**-2)) ** -0.5

    across, down = rng.uniform(-0.05, 1.05, (2, count))
    order = rng.random(count)
    if horizon is not None:  # on the ground, smaller if farther away
        depth = rng.random(count) ** 1.5
        down = horizon - 0.03 + depth * (1.1 - horizon)
        radius = np.maximum(radius * (0.3 + 1.4 * depth), 1.2 / side)
        order = 0.8 * depth + 0.2 * order
    # Things have parts: small leaves lie on large ones.
    large = np.argsort(radius)[-max(2, count // 20) :]
    whole = large[rng.integers(max(2, count // 20), size=count)]
    part = (rng.random(count) < rng.uniform(0, 0.9)) & (radius < radius[whole] / 2)
    away = rng.normal(0, 0.5, (2, count)) * radius[whole]
    across = np.where(part, across[whole] + away[0], across)
    down = np.where(part, down[whole] + away[1], down)
    nearer = np.argsort(np.where(part, order[whole] + 0.05, order))
    across, down, radius = across[nearer], down[nearer], radius[nearer]
    centre = np.stack([across, down], 1) * side
    radius = radius * side

    # Neighbours have similar kinds and colours: both follow smooth noise over the picture.
    region = cloud(rng, 64, 128)[tuple((centre[:, ::-1] * 63 / side).astype(int).clip(0, 63).T)]
    region = region + rng.normal(0, rng.uniform(0.1, 0.8), count)
    ranks = np.argsort(np.argsort(region)) / count
    colours = palette[(ranks * len(palette)).astype(int)]
    colours = colours * np.exp(rng.normal(0, rng.uniform(0.1, 0.4), (count, 1)))
    colours = colours + rng.normal(0, 7, (count, 1)) * WARM + rng.normal(0, 5, (count, 1)) * GREEN

    turn = rng.uniform(0, 2 * np.pi, count)
    if rng.random() < 0.5:  # all lie along one direction
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
    colours = np.pad(colours, ((1, 0), (0, 0))).clip(0, 255).astype(np.uint8)
    return outlines, colours, height, np.pad(attributes, ((0, 0), (1, 0))).astype(np.float32)


def _outlines(
    rng: Generator, kind: np.ndarray, centre: np.ndarray, radius: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """Returns ellipses, blobs, polygons, bars and bent blades: (n, 24, 2) float32, in pixels."""
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
    # An eighth of a turn puts squares on a side, so that thin ones become boards.
    standing = angles + np.where(corners == 4, np.pi / 4, 0)
    along, aside = reach * np.cos(standing), reach * np.sin(standing) * aspect
    aside = aside + rng.normal(0, 0.25, (count, 1)) * (1 - aspect) * along**2
    # The same area for all aspects.
    scale = radius[:, None] / np.sqrt(aspect)
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    outline = np.stack([along * cos - aside * sin, along * sin + aside * cos], 2)
    return (centre[:, None] + outline * scale[..., None]).astype(np.float32)


def _topmost(outlines: np.ndarray, side: int) -> np.ndarray:
    """Returns the number of the topmost leaf at each pixel, or 0: (side, side) int32."""
    numbers = Image.new("I", (side, side))
    draw = ImageDraw.Draw(numbers)
    for number, outline in enumerate(outlines.reshape(len(outlines), -1).tolist(), start=1):
        draw.polygon(outline, fill=number)
    return np.asarray(numbers)


def _surface(attributes: np.ndarray, topmost: np.ndarray) -> np.ndarray:
    """Returns the lightness of the surface at each pixel, (S, S) float32; 1 is the leaf's colour.

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


def _shadow(rng: Generator, height: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Returns the light that reaches each pixel, 0..1: less beside something higher.

    It comes from the difference between a blurred depth buffer and the buffer itself (Luft et al.
    2006, "Image enhancement by unsharp masking the depth buffer").
    """
    side = len(height)
    reach = rng.uniform(0.004, 0.03) * side
    blurred = np.asarray(Image.fromarray(height).filter(ImageFilter.GaussianBlur(reach)))
    moved = np.arange(side) + np.rint(light * reach)[:, None]
    columns, rows = moved.astype(int).clip(0, side - 1)
    around = blurred[rows[:, None], columns].astype(np.float32)
    return 1 - rng.uniform(0.1, 0.8) * ((around - height) / 160).clip(0, 0.8)

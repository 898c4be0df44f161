"""Pictures with the statistics of photographs, made from nothing.

The dead leaves model (Lee, Mumford and Huang 2001, "Occlusion models for natural images"): leaves
of power-law sizes that cover one another have the power spectrum, the edges and the scale
invariance of natural images. Here they have many outlines, textures, shading and shadows, and lie
over a sky, a horizon or a wall of 1/f noise.
"""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_CORNERS = 24
"""Of every outline; a multiple of the corners of the polygons that leaves can be."""

_KINDS = 10
"""Of texture."""

_TILE = 512
"""Side of a texture, a power of two. Textures repeat, but every leaf begins at another place."""

# Directions in RGB besides grey: photographs vary most from cool to warm, then magenta to green.
_WARM = np.array([1.0, 0.1, -1.1], np.float32)
_GREEN = np.array([-0.5, 0.9, -0.6], np.float32)


def synthetic_picture(seed: int, index: int, side: int) -> np.ndarray:
    """Picture number `index` of the endless sequence `seed`: (side, side, 3) uint8.

    A pure function. The scene grows with `side`; the finest leaves and the textures stay the same
    in pixels, as in photographs of any size.
    """
    rng = np.random.default_rng((seed, index))
    palette = _palette(rng)
    sparse = rng.random() < 0.35
    horizon = rng.uniform(0.2, 0.8) if rng.random() < (0.8 if sparse else 0.4) else None

    picture = _background(rng, side, palette, horizon)
    if not sparse and rng.random() < 0.6:
        picture = _strewn(rng, picture, palette, horizon, cover=rng.uniform(0.5, 2.0))
    if rng.random() < 0.4:  # out of focus
        picture = _blurred(picture, side * rng.uniform(0.002, 0.012))
    cover = rng.uniform(0.15, 0.8) if sparse else rng.uniform(1.0, 4.0)
    picture = _strewn(rng, picture, palette, horizon, cover=cover)
    return _photographed(rng, picture)


def _palette(rng: np.random.Generator) -> np.ndarray:
    """A few colours that go together: (n, 3) float32, about 0..255, mostly muted."""
    count = int(rng.integers(3, 7))
    lightness = rng.permutation(np.linspace(45, 205, count)) + rng.normal(0, 18, count)
    # One cast for all, as light has, and each its own; now and then a scene of vivid things.
    chroma = rng.gamma(2.0, 14.0) if rng.random() < 0.8 else rng.gamma(3.0, 25.0)
    warm = rng.normal(0.5 * chroma, chroma, count)
    green = rng.normal(0.1 * chroma, 0.5 * chroma, count)
    # What is very dark or very light has little colour.
    room = np.minimum(lightness, 255 - lightness).clip(15, 90) / 90
    colours = lightness[:, None] + (room * warm)[:, None] * _WARM + (room * green)[:, None] * _GREEN
    return colours.astype(np.float32)


def _background(
    rng: np.random.Generator, side: int, palette: np.ndarray, horizon: float | None
) -> np.ndarray:
    """A wall of 1/f noise, or a sky over rows of hills: (S, S, 3) float32."""
    first, second, third = palette[rng.integers(len(palette), size=3)]
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None]
    detail = int(rng.integers(16, 256))
    if horizon is None:
        mixed = 0.5 + 0.3 * _cloud(rng, side, detail) + rng.normal(0, 0.6) * (down - 0.5)
        wall = 1 + rng.gamma(1, 0.06) * _tile_part(rng, int(rng.integers(_KINDS)), side)
        return (first + (second - first) * mixed[..., None]) * wall[..., None]

    top = 255 - (255 - first) * rng.uniform(0.2, 0.8) - rng.uniform(0, 25) * _WARM
    bottom = second + (255 - second) * rng.uniform(0.3, 0.9)
    clouds = rng.gamma(1, 0.1) * _cloud(rng, side, detail)
    mixed = (down / horizon + clouds).clip(0, 1)
    picture = top + (bottom - top) * mixed[..., None]
    ridges = int(rng.integers(1, 4))
    for ridge in range(1, ridges + 1):
        skyline = rng.gamma(1, 0.04) * _cloud(rng, side, detail)[side // 2]
        height = horizon + 0.12 * (ridge - 1) + skyline
        # Air between us and a hill lends it the colour of the sky.
        near = ridge / ridges
        hill = bottom + (palette[rng.integers(len(palette))] - bottom) * (0.2 + 0.8 * near)
        grown = _tile_part(rng, int(rng.integers(_KINDS)), side)
        texture = 1 + rng.gamma(2, 0.06) * near * grown
        below = slice(max(0, int(height.min() * side) - 1), side)
        depth = (down - height)[below, :, None]
        colours = (hill + 0.5 * near * depth * (third - hill)) * texture[below, :, None]
        picture[below] += (depth * side + 0.5).clip(0, 1) * (colours - picture[below])
    return picture.astype(np.float32)


@dataclass(frozen=True)
class _Leaves:
    """What was strewn, farthest first; each array has one row per leaf and one for the ground."""

    outlines: np.ndarray  # (n, 24, 2) pixels
    colours: np.ndarray  # (1 + n, 3) uint8; row 0, the ground, is not used
    height: np.ndarray  # (1 + n,) uint8, above the ground
    attributes: np.ndarray  # (14, 1 + n) float32, see _surface


def _strewn(
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
    region = _cloud(rng, 64, 128)[tuple((centre[:, ::-1] * 63 / side).astype(int).clip(0, 63).T)]
    region = region + rng.normal(0, rng.uniform(0.1, 0.8), count)
    ranks = np.argsort(np.argsort(region)) / count
    colours = palette[(ranks * len(palette)).astype(int)]
    colours = colours * np.exp(rng.normal(0, rng.uniform(0.1, 0.4), (count, 1)))
    colours = colours + rng.normal(0, 7, (count, 1)) * _WARM + rng.normal(0, 5, (count, 1)) * _GREEN

    turn = rng.uniform(0, 2 * np.pi, count)
    if rng.random() < 0.5:  # grain: all lie along one direction
        turn = rng.uniform(0, np.pi) + rng.normal(0, rng.uniform(0.05, 0.5), count)
    outlines = _outlines(rng, ranks, centre, radius, turn)

    kind = (rng.uniform(0, 0.4, count) + 0.599 * ranks) * _KINDS
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
        kind.astype(int) * _TILE**2,
        rng.uniform(0.6, 1.6, count),
        rng.uniform(2, 3, count) * _TILE,
        rng.uniform(2, 3, count) * _TILE,
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
    column = (along * scale + start_x).astype(np.int32) & (_TILE - 1)
    row = (aside * scale + start_y).astype(np.int32) & (_TILE - 1)
    grain = _textures().ravel().take(kind.astype(np.int32) + row * _TILE + column)
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


def _photographed(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Uneven light, lens, exposure, film and sensor: float32 to uint8."""
    side = len(picture)
    picture = picture * np.exp(rng.uniform(0.02, 0.25) * _cloud(rng, side, 24))[..., None]
    picture += rng.exponential(1.2) * _tile_part(rng, 0, side)[..., None]
    every = max(1, side // 16)
    some = picture[::every, ::every].mean(2)
    # Pictures of little contrast stay so.
    gain = min(max(rng.normal(66, 16), 25.0) / max(float(some.std()), 10.0), 2.0)
    exposure = min(max(rng.normal(-8, 32), -80.0), 65.0)
    # Film's S-curve: shadows and highlights bend towards black and white but keep their detail.
    picture = 255 / (1 + np.exp((some.mean() - picture) * (gain / 55) - exposure / 55))
    image = Image.fromarray(picture.astype(np.uint8))
    softness = rng.uniform(-0.4, 0.4)
    return np.asarray(image.filter(ImageFilter.BoxBlur(softness)) if softness > 0 else image)


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def _cloud(rng: np.random.Generator, side: int, detail: int) -> np.ndarray:
    """1/f noise, smooth below 1/detail of the picture: (side, side) float32, about -2.5..2.5."""
    part = np.ascontiguousarray(_tile_part(rng, 2, detail))
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))


def _tile_part(rng: np.random.Generator, kind: int, side: int) -> np.ndarray:
    """A (side, side) part of a texture, from anywhere, mirrored by chance."""
    rows = (np.arange(side) + rng.integers(_TILE)) % _TILE
    columns = (np.arange(side) + rng.integers(_TILE)) % _TILE
    part = _textures()[kind].take(rows, 0).take(columns, 1)
    return part.T if rng.random() < 0.5 else part


@functools.cache
def _textures() -> np.ndarray:
    """Seamless, mean 0, deviation 1, within -2.5..2.5: (_KINDS, _TILE, _TILE) float32."""
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(_TILE)
    x, y = frequency[None, :], frequency[:, None]

    def noise(amplitude: np.ndarray) -> np.ndarray:
        amplitude[0, 0] = 0
        white = np.fft.fft2(rng.normal(size=(_TILE, _TILE)))
        return normal(np.fft.ifft2(white * amplitude).real)

    def normal(values: np.ndarray) -> np.ndarray:
        return (values - values.mean()) / values.std()

    def power(exponent: float, stretch: float = 1.0) -> np.ndarray:
        distance = np.hypot(x * stretch, y)
        distance[0, 0] = 1
        return distance**-exponent

    band = np.exp(-((np.hypot(x, y) - 0.05) ** 2) / (2 * 0.015**2))
    column, row = np.meshgrid(np.arange(_TILE), np.arange(_TILE))
    courses = (row % 16 < 2) | ((column + row // 16 % 2 * 16) % 32 < 2)
    threads = np.sin(column * (np.pi / 4)) * np.sin(row * (np.pi / 4))
    textures = [
        noise(power(0.3)),  # grain
        noise(power(1.0)),  # stone
        noise(power(1.5)),  # cloud
        noise(power(0.8, stretch=8)),  # fibre
        noise(power(0.6, stretch=3)),  # bark
        normal(-np.abs(noise(power(1.2)))),  # veins
        normal(np.tanh(3 * noise(band.copy()))),  # patches
        normal(np.maximum(noise(band.copy()), 0.7)),  # bumps
        normal(noise(power(0.5)) - 3 * courses),  # masonry
        normal(threads + 0.5 * noise(power(0.8))),  # cloth
    ]
    return np.stack(textures).clip(-2.5, 2.5).astype(np.float32)

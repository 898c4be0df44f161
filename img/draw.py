"""Draw the project's own pictures: `python img/draw.py [candy] [sample]` (none named: all).

Everything comes from one seed, so the same versions of NumPy and Pillow draw the same pictures.

candy   a style image. A composition (flowing bands, lollipops, wrapped sweets, leaves) gives every
        pixel a colour, a region and a direction; several brushes then paint it in thousands of
        strokes that follow the direction and keep to their region.
sample  a content image. A ray-cast landscape with a lake, a house, a boat and a cat.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Array = np.ndarray
Colour = tuple[float, float, float]
Window = tuple[slice, slice]

SEED = 7
FOLDER = Path(__file__).resolve().parent


# ------------------------------------------------------------------------------- shared by both


def noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    scale: float,
    octaves: int = 1,
    stretch: float = 1.0,
) -> Array:
    """Smooth noise, float32 (H, W), mean near 0 and deviation near 1.

    scale is the size of a lump in pixels; stretch makes lumps that much longer in x. Each further
    octave has half the size and half the strength.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = scale / 2**octave
        columns, rows = width / (size * stretch), height / size
        grid = rng.normal(size=(int(rows) + 5, int(columns) + 5)).astype(np.float32)
        # A random offset, so that the lattices of the octaves never line up.
        x, y = rng.uniform(1, 3, 2)
        layer = Image.fromarray(grid).resize(
            (width, height), Image.Resampling.BICUBIC, box=(x, y, x + columns, y + rows)
        )
        total += np.asarray(layer) / 2**octave
    return (total - total.mean()) / (total.std() + 1e-6)


def smoothstep(low: float | Array, high: float | Array, value: Array) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array | Colour, b: Array | Colour, amount: Array | float) -> Array:
    """Colours (..., 3), blended by amount (...)."""
    amount = np.asarray(amount, np.float32)[..., None]
    return np.asarray(a, np.float32) * (1 - amount) + np.asarray(b, np.float32) * amount


def colour(code: str) -> Colour:
    """RGB in 0..1 from six hexadecimal digits."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def save(picture: Array, path: Path, quality: int) -> None:
    """Write RGB (H, W, 3) in 0..1 as a JPEG, whole or not at all."""
    temporary = path.with_name(path.name + ".partial")
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    Image.fromarray(pixels).save(temporary, "JPEG", quality=quality, optimize=True)
    temporary.replace(path)


# ------------------------------------------------------------------- candy: what is to be painted

YELLOW, GOLD, ORANGE = colour("f8cb34"), colour("eba522"), colour("ef7a1f")
RED, CRIMSON, ROSE, PINK = colour("d93026"), colour("a81c35"), colour("e4487a"), colour("f29bb0")
SKY, BLUE, TEAL, MINT = colour("7cc3e4"), colour("2f7fc1"), colour("22908c"), colour("9fd6bd")
CREAM, LIME = colour("f9ebc8"), colour("b3bd3a")
UNSTEADY = 30  # how far, at most, the unsteady hand moves a line, in pixels
INKS = [colour("17152e"), colour("2b1218"), colour("0f2440"), colour("32140f")]


class Drawing:
    """What the painter has in mind before the first stroke, for each pixel (H, W).

    colour (3 channels in 0..1), region (whose paint it is), angle (where strokes run, radians) and
    ink (how much of it is outline, 0..1). x and y are pixel coordinates bent by the unsteady hand
    that every later shape is drawn with.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int]) -> None:
        self.shape = shape
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        for size, amount in ((110, 5), (40, 1.2), (12, 0.4)):
            x, y = x + amount * noise(rng, shape, size), y + amount * noise(rng, shape, size)
        self.x, self.y = x, y
        self.pressure = np.clip(1 + 0.3 * noise(rng, shape, 60, 3), 0.6, 1.6)
        self.colour = np.zeros((*shape, 3), np.float32)
        self.region = np.zeros(shape, np.int32)
        self.angle = np.zeros(shape, np.float32)
        self.ink = np.zeros(shape, np.float32)
        self.regions_used = 0

    def window(self, x: float, y: float, reach: float) -> Window:
        """The part of the picture within reach of a point."""
        top, bottom = np.clip([y - reach, y + reach + 1], 0, self.shape[0]).astype(int)
        left, right = np.clip([x - reach, x + reach + 1], 0, self.shape[1]).astype(int)
        return slice(top, bottom), slice(left, right)

    def curvature(self, x: float, y: float, angle: float, reach: float) -> float:
        """How the direction turns, per pixel, along a stroke through a spot."""
        steps = np.array([-reach, reach])
        rows = np.clip(y + steps * np.sin(angle), 0, self.shape[0] - 1).astype(int)
        columns = np.clip(x + steps * np.cos(angle), 0, self.shape[1] - 1).astype(int)
        before, after = self.angle[rows, columns]
        turn = (after - before + np.pi / 2) % np.pi - np.pi / 2
        return float(np.clip(turn, -0.9, 0.9) / (2 * reach))

    def add(
        self,
        window: Window,
        inside: Array,
        cells: Array,
        cell_edge: Array,
        shade: Array,
        angle: Array,
        colours: Sequence[Colour],
        line: float,
    ) -> None:
        """Lay a shape over what is there.

        inside and cell_edge are distances in pixels: to the shape's border (positive inside) and to
        the border between two of its cells. cells picks from colours; shade in -1..1 darkens or
        lightens; line is the width of the outline.
        """
        within = inside > 0
        picked = np.asarray(colours, np.float32)[cells % len(colours)]
        picked = mix(picked, CREAM, 0.45 * np.clip(shade, 0, 1))
        picked = mix(picked, picked**2 * np.float32(0.75), 0.7 * np.clip(-shade, 0, 1))
        # A broad nib: lines are thick across it and thin along it.
        nib = self.pressure[window] * (0.7 + 0.5 * np.abs(np.sin(angle - 0.7)))
        ink = self.ink[window]
        inner = smoothstep(-0.8, 0.8, 0.33 * line * nib - cell_edge)
        outer = smoothstep(-0.8, 0.8, 0.46 * line * self.pressure[window] - np.abs(inside))
        self.ink[window] = np.maximum(np.where(within, inner, ink), outer)
        self.colour[window][within] = picked[within]
        self.angle[window][within] = angle[within]
        slope_y, slope_x = np.gradient(inside)
        border = outer > 0.3
        self.angle[window][border] = np.arctan2(-slope_x, slope_y)[border]
        self.region[window][within] = (self.regions_used + cells % len(colours))[within]
        self.regions_used += len(colours)


def split(phase: Array, scale: Array | float) -> tuple[Array, Array, Array]:
    """Cells of a running phase: number, distance to the edge in scale's unit, -1..1 across."""
    cells = np.floor(phase).astype(np.int32)
    part = phase - cells
    return cells, np.minimum(part, 1 - part) * scale, part * 2 - 1


def bands(drawing: Drawing, rng: np.random.Generator, discs: Sequence["Disc"]) -> None:
    """The ground: bands of paint that stream around the discs like water around stones."""
    x, y, shape = drawing.x, drawing.y, drawing.shape
    stream = 0.80 * y - 0.45 * x + 70 * noise(rng, shape, 420) + 22 * noise(rng, shape, 150)
    along = 0.45 * y + 0.80 * x + 60 * noise(rng, shape, 300)
    for sweet in discs:
        dx, dy = x - sweet.x, y - sweet.y
        # The dipole of potential flow around a cylinder, softened within.
        pull = sweet.radius**2 / np.maximum(dx**2 + dy**2, (0.8 * sweet.radius) ** 2)
        stream -= 0.75 * pull * (0.80 * dy - 0.45 * dx)
    slope_y, slope_x = np.gradient(stream)
    slope = np.hypot(slope_x, slope_y) + 0.12
    widths = rng.uniform(10, 42, 120)
    edges = np.cumsum(widths) + stream.min() - 60
    number = np.clip(np.searchsorted(edges, stream), 1, len(edges) - 1)
    part = (stream - edges[number - 1]) / (edges[number] - edges[number - 1])
    edge = np.minimum(part, 1 - part) * (edges[number] - edges[number - 1]) / slope
    # Every band is cut into lengths of its own, with slanting cuts.
    lengths, starts = rng.uniform(110, 330, 121), rng.uniform(0, 300, 121)
    run = (along + 38 * (part - 0.5) ** 2 * 4 + starts[number]) / lengths[number]
    piece, cut_edge, _ = split(run, lengths[number])
    colours = [SKY, BLUE, YELLOW, SKY, CREAM, BLUE, SKY, ORANGE, TEAL, SKY, PINK, SKY, BLUE]
    cells = number * 5 + piece * 7 + (number * piece) % 3
    shade = 0.55 * (part * 2 - 1) * np.where(number % 2, 1, -1) + 0.3 * noise(rng, shape, 90)
    angle = np.arctan2(-slope_x, slope_y)
    everywhere, inside = (slice(None), slice(None)), np.full(shape, 1e3, np.float32)
    edge = np.minimum(edge, cut_edge)
    drawing.add(everywhere, inside, cells, edge, shade, angle, colours, 9)


class Disc(NamedTuple):
    """A round sweet: its place, its colours, and how they are wound."""

    x: float
    y: float
    radius: float
    kind: str
    colours: Sequence[Colour]
    turn: float = 1.0

    def toward(self, angle: float, share: float) -> tuple[float, float]:
        """The point at that share of the radius."""
        reach = share * self.radius
        return self.x + np.cos(angle) * reach, self.y + np.sin(angle) * reach


def disc(drawing: Drawing, rng: np.random.Generator, sweet: Disc) -> None:
    window = drawing.window(sweet.x, sweet.y, sweet.radius * 1.15 + UNSTEADY)
    dx, dy = drawing.x[window] - sweet.x, drawing.y[window] - sweet.y
    squash, tilt = rng.uniform(0.86, 1.0), rng.uniform(0, np.pi)
    u = dx * np.cos(tilt) + dy * np.sin(tilt)
    v = (dy * np.cos(tilt) - dx * np.sin(tilt)) / squash
    theta = np.arctan2(v, u)
    radius = np.hypot(u, v)
    bumps = sum(rng.normal(0, 0.022) * np.cos(n * theta + rng.uniform(0, 6.3)) for n in range(2, 6))
    r = radius / (1 + bumps)
    inside = sweet.radius - r
    share = np.clip(r / sweet.radius, 0, 1.2)
    # Centres sit beside the middle, as they do in hand-pulled sugar.
    centre_x, centre_y = rng.normal(0, 0.07 * sweet.radius, 2)
    fade = np.clip(1 - share, 0, 1)
    theta = np.arctan2(v - centre_y * fade, u - centre_x * fade)
    r = np.hypot(u - centre_x * fade, v - centre_y * fade)
    count = len(sweet.colours)
    if sweet.kind == "spiral":
        pitch = np.clip(sweet.radius / rng.uniform(5.6, 7.4), 8, 30)
        arms = count * sweet.turn
        wound = (r / sweet.radius) ** 0.86 * sweet.radius / pitch
        cells, edge, across = split(wound - arms * theta / (2 * np.pi), pitch)
        lean = np.arctan2(arms * pitch / (2 * np.pi), np.maximum(r, 3))
        angle = theta + np.pi / 2 - lean
        shade = 0.5 * across
    elif sweet.kind == "pinwheel":
        arms = count * max(1, round(8 / count))
        twist = sweet.turn * 1.5
        cells, edge, across = split(
            arms * theta / (2 * np.pi) + twist * share**0.7, 2 * np.pi * np.maximum(r, 1) / arms
        )
        edge = edge * 0.8 + 2 * (share < 0.1)
        angle = theta - np.arctan(2 * np.pi * 0.7 * twist * share**0.7 / arms)
        shade = 0.6 * across * np.sign(sweet.turn)
    else:
        pitch = max(sweet.radius / rng.uniform(3.0, 4.5), 6)
        cells, edge, across = split(r / pitch + 0.12 * np.sin(theta * 2 + tilt), pitch)
        angle = theta + np.pi / 2
        shade = -0.4 * across
    light = 0.5 * (-dx * 0.55 - dy * 0.8) / sweet.radius - 0.5 * share**6
    line = np.clip(2.6 + sweet.radius * 0.055, 3, 11)
    drawing.add(window, inside, cells, edge, shade * 0.6 + light, angle + tilt, sweet.colours, line)


def curve(
    start: tuple[float, float], angle: float, length: float, bend: float, late: float = 1.3
) -> Array:
    """Points (40, 2) of a line that leaves start at an angle and turns by bend until its end.

    The larger late is, the more of the turn is kept for the end, as in the curl of a tendril.
    """
    headings = angle + np.linspace(0, 1, 40) ** late * bend
    steps = np.stack([np.cos(headings), np.sin(headings)], 1) * length / 40
    return np.asarray(start) + np.cumsum(steps, 0)


def ribbon(
    drawing: Drawing,
    points: Array,
    half_width: Callable[[Array], Array],
    pattern: str,
    colours: Sequence[Colour],
    line: float,
) -> None:
    """A leaf, petal, stick or wrapper: a curve with a width at each part 0..1 of its length."""
    low, high = points.min(0), points.max(0)
    reach = (high - low).max() / 2 + half_width(np.linspace(0, 1, 9)).max() + UNSTEADY
    window = drawing.window((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, reach)
    x, y = drawing.x[window], drawing.y[window]
    if x.size == 0:
        return
    distance, nearest = np.full(x.shape, np.inf, np.float32), np.zeros(x.shape, np.int32)
    for index, (px, py) in enumerate(points):
        squared = (x - px) ** 2 + (y - py) ** 2
        closer = squared < distance
        distance[closer], nearest[closer] = squared[closer], index
    tangents = np.gradient(points, axis=0)
    angle = np.arctan2(tangents[:, 1], tangents[:, 0])[nearest]
    away_x, away_y = x - points[nearest, 0], y - points[nearest, 1]
    side = away_y * np.cos(angle) - away_x * np.sin(angle)
    ahead = away_x * np.cos(angle) + away_y * np.sin(angle)
    length = np.hypot(*tangents.T).sum()
    position = nearest / (len(points) - 1) * length + ahead
    part = np.clip(position / length, 0, 1)
    width = half_width(part)
    beyond = np.maximum(position - length, -position)
    inside = np.minimum(width - np.abs(side), -beyond)
    relative = np.clip(side / np.maximum(width, 1), -1, 1)
    if pattern == "leaf":
        cells, edge, shade = (side > 0).astype(np.int32), np.abs(side), 0.7 * np.abs(relative) - 0.2
        veins = np.abs(((position - np.abs(side) * 1.1) / 17) % 1 - 0.5) * 17
        edge = np.minimum(edge, np.where(width > 11, veins + 1.4, 99))
        angle = angle + 0.35 * np.sign(side)
    elif pattern == "twist":
        cells, edge, shade = split((position + side * 1.3) / 16, 12)
        angle, shade = angle - 0.9, shade * 0.3 - np.abs(relative) * 0.5
    elif pattern == "plain":
        cells, edge, shade = np.zeros(x.shape, np.int32), np.full(x.shape, 99.0), relative * 0.5
    else:
        cells, edge, shade = split(relative * 1.5 + 0.5, width / 1.5)
        shade = shade * 0.4 + 0.3 - part * 0.8
    drawing.add(window, inside, cells, edge, shade, angle.astype(np.float32), colours, line)


def leaf_width(width: float) -> Callable[[Array], Array]:
    return lambda part: width * np.sin(np.pi * np.clip(part, 0, 1) ** 0.75) ** 0.85


def tendril_width(width: float) -> Callable[[Array], Array]:
    return lambda part: width * np.minimum(1.1 - part, 9 * part + 0.1)


def flared_width(width: float) -> Callable[[Array], Array]:
    return lambda part: width * (0.3 + 0.8 * part**1.4)


LEAVES = [
    [TEAL, MINT],
    [LIME, TEAL],
    [ORANGE, YELLOW],
    [ROSE, PINK],
    [BLUE, SKY],
    [RED, ORANGE],
    [CREAM, GOLD],
    [CRIMSON, ROSE],
]
LARGE = [
    Disc(318, 336, 186, "spiral", [RED, CREAM], 1),
    Disc(905, 268, 150, "spiral", [YELLOW, ORANGE], -1),
    Disc(690, 742, 176, "spiral", [ROSE, YELLOW], 1),
    Disc(1122, 690, 132, "spiral", [SKY, CREAM, BLUE], -1),
    Disc(176, 800, 128, "pinwheel", [ORANGE, CREAM, RED, YELLOW], 1),
    Disc(620, 118, 84, "pinwheel", [PINK, CRIMSON], -1),
    Disc(1190, 92, 92, "spiral", [CRIMSON, PINK], 1),
    Disc(60, 90, 92, "spiral", [TEAL, MINT], -1),
    Disc(440, 920, 92, "spiral", [BLUE, SKY], -1),
    Disc(940, 930, 84, "pinwheel", [RED, YELLOW, ORANGE], 1),
    Disc(610, 440, 70, "pinwheel", [TEAL, CREAM, SKY], 1),
    Disc(1236, 420, 78, "pinwheel", [GOLD, ROSE, CREAM], -1),
    Disc(1240, 960, 84, "spiral", [YELLOW, RED], 1),
    Disc(30, 560, 62, "spiral", [ROSE, CREAM], 1),
]
STICKS = [(0, 1.25, 330, 0.5), (1, 1.9, 330, -0.5), (2, -0.3, 300, 0.6), (3, -2.2, 260, 0.5)]
WRAPPED = [5, 9, 10, 11]
FLOWERS = {
    1: ([ROSE, PINK], [RED, ORANGE]),
    3: ([YELLOW, GOLD], [ORANGE, RED]),
    8: ([ROSE, PINK], [YELLOW, CREAM]),
    13: ([SKY, CREAM], [BLUE, SKY]),
}


def compose(rng: np.random.Generator, shape: tuple[int, int]) -> Drawing:
    drawing = Drawing(rng, shape)
    bands(drawing, rng, LARGE)
    for _ in range(46):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        flow = drawing.angle[int(y), int(x)] + rng.choice([0, np.pi]) + rng.normal(0, 0.4)
        length = rng.uniform(60, 190)
        points = curve((x, y), flow, length, rng.normal(0, 0.9))
        width = leaf_width(length * rng.uniform(0.13, 0.2))
        ribbon(drawing, points, width, "leaf", LEAVES[rng.integers(8)], 6)
    for _ in range(44):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        flow = drawing.angle[int(y), int(x)] + rng.choice([0, np.pi]) + rng.normal(0, 0.3)
        length, turn = rng.uniform(110, 260), rng.choice([-1, 1]) * rng.uniform(4, 8)
        points, width = curve((x, y), flow, length, turn, 2.6), tendril_width(rng.uniform(6, 11))
        tint = (CREAM, YELLOW, RED, ROSE, ORANGE, CREAM)[rng.integers(6)]
        ribbon(drawing, points, width, "plain", [tint], 5)
    for number, angle, length, bend in STICKS:
        sweet = LARGE[number]
        points = curve((sweet.x, sweet.y), angle, length, bend)
        ribbon(drawing, points, lambda part: 15 - 4 * part, "twist", [CREAM, RED], 7)
    for number, pairs in FLOWERS.items():
        for row, pair in enumerate(pairs):
            petals(drawing, rng, LARGE[number], pair, 1.0 - 0.3 * row)
    for number in WRAPPED:
        sweet, angle = LARGE[number], rng.uniform(0, np.pi)
        for side in (angle, angle + np.pi):
            points = curve(sweet.toward(side, 0.8), side, 0.95 * sweet.radius, rng.normal(0, 0.3))
            flare = flared_width(0.55 * sweet.radius)
            ribbon(drawing, points, flare, "pleats", sweet.colours[::-1], 6)
    for sweet in LARGE:
        disc(drawing, rng, sweet)
    scatter(drawing, rng)
    return drawing


def petals(
    drawing: Drawing, rng: np.random.Generator, heart: Disc, pair: Sequence[Colour], size: float
) -> None:
    """A row of petals around a sweet, which is drawn over them later."""
    count = rng.integers(8, 11)
    first = rng.uniform(0, 6.3)
    for number in rng.permutation(count):
        angle = first + (number + rng.uniform(-0.2, 0.2)) * 2 * np.pi / count
        length = size * heart.radius * rng.uniform(1.0, 1.25)
        width = min(0.34 * length, 2.4 * heart.radius / count)
        points = curve(heart.toward(angle, 0.6), angle, length, 0.5)
        ribbon(drawing, points, leaf_width(width), "pleats", pair, 7)


def scatter(drawing: Drawing, rng: np.random.Generator) -> None:
    """Small sweets, wherever they find room."""
    lights, darks = (YELLOW, CREAM, SKY, PINK, MINT), (RED, ROSE, ORANGE, CRIMSON, TEAL, BLUE)
    placed = [(d.x, d.y, d.radius) for d in LARGE]
    for _ in range(900):
        x, y = rng.uniform(0, drawing.shape[1]), rng.uniform(0, drawing.shape[0])
        radius = 13 + 36 * rng.uniform() ** 1.8
        if all(np.hypot(x - px, y - py) > radius * 1.25 + pr * 1.08 for px, py, pr in placed):
            placed.append((x, y, radius))
            kind = "rings" if radius < 15 else ["spiral", "pinwheel", "spiral"][rng.integers(3)]
            colours = [lights[rng.integers(len(lights))], darks[rng.integers(len(darks))]]
            disc(drawing, rng, Disc(x, y, radius, kind, colours, rng.choice([-1, 1])))
        if len(placed) > 75:
            break


# ----------------------------------------------------------------------------- candy: the painting


class Brush(NamedTuple):
    """Sizes in pixels. coverage is how often each spot is passed, dryness how much the bristles
    leave out, variety how far a stroke's colour strays."""

    width: float
    length: float
    coverage: float
    opacity: float
    dryness: float
    variety: float


class Mark(NamedTuple):
    """Where a stroke has its middle, where it runs, how it bends (per pixel), and its colour."""

    x: float
    y: float
    angle: float
    bend: float
    tint: Array


class Painting:
    """Paint on a canvas: RGB in 0..1 and how thick it lies, (H, W)."""

    def __init__(self, rng: np.random.Generator, drawing: Drawing) -> None:
        shape = drawing.shape
        # A thin wash of the right colours over an ochre ground, which shows where brushes skip.
        self.rgb = mix(colour("c9803f"), drawing.colour, 0.55 + 0.12 * noise(rng, shape, 25, 3))
        self.thickness = np.zeros(shape, np.float32)
        tile = (512, 512)
        streaks = noise(rng, tile, 2.2, stretch=30) + 0.6 * noise(rng, tile, 5, stretch=12)
        self.bristles = np.clip(0.5 + 0.3 * streaks, 0, 1)

    def stroke(
        self, rng: np.random.Generator, brush: Brush, mark: Mark, window: Window, allowed: Array
    ) -> None:
        """One stroke, an arc, in a window (h, w), as far as allowed (h, w) lets it."""
        dy, dx = np.mgrid[window].astype(np.float32)
        dy, dx = dy - mark.y, dx - mark.x
        cos, sin = np.cos(mark.angle), np.sin(mark.angle)
        along = dx * cos + dy * sin
        across = dy * cos - dx * sin - 0.5 * mark.bend * along**2
        start_u, start_v = rng.integers(0, 512, 2)
        u, v = (along + start_u).astype(np.int32) % 512, (across + start_v).astype(np.int32) % 512
        hair = self.bristles[v, u]
        # Bristles lift off at different moments, and run dry toward the end of the stroke.
        end = np.abs(along) / (brush.length / 2) + (hair - 0.5) * 0.5
        rim = np.abs(across) / (brush.width / 2)
        cover = np.clip((1 - rim) * brush.width / 2.4, 0, 1) * np.clip((1 - end) * 5, 0, 1)
        worn = brush.dryness * (0.5 + along / brush.length)
        cover *= np.clip((hair - worn * 0.8) * 6 + 0.7, 0, 1) * allowed * brush.opacity
        tint = mark.tint * (0.86 + 0.28 * hair[..., None])
        self.rgb[window] = mix(self.rgb[window], tint, cover)
        relief = (0.35 + 0.65 * hair) * brush.width**0.5 * (0.8 + 0.5 * rim**2)
        below = self.thickness[window]
        self.thickness[window] = below + cover * (relief - 0.75 * below)

    def paint(
        self, rng: np.random.Generator, drawing: Drawing, brush: Brush, outlines: bool = False
    ) -> None:
        """Cover the drawing's areas, or else its outlines, once with one brush."""
        height, width = drawing.shape
        step = np.sqrt(brush.width * brush.length / brush.coverage)
        spots = np.mgrid[0:height:step, 0:width:step].reshape(2, -1).T
        spots = spots + rng.uniform(-step / 2, step / 2, spots.shape)
        spots = np.clip(spots, 0, [height - 1, width - 1])
        for y, x in rng.permutation(spots):
            spot = int(y), int(x)
            if (drawing.ink[spot] > 0.5) != outlines:
                continue
            window = drawing.window(x, y, (brush.length + brush.width) / 2 + 1)
            if outlines:
                tint, allowed = INKS[rng.integers(len(INKS))], drawing.ink[window]
            else:
                tint, allowed = drawing.colour[spot], drawing.region[window] == drawing.region[spot]
            angle = drawing.angle[spot]
            bend = drawing.curvature(x, y, angle, brush.length / 3)
            angle += rng.normal(0, 0.08)
            mark = Mark(x, y, angle, bend, stray(rng, np.asarray(tint), brush.variety))
            self.stroke(rng, brush, mark, window, allowed)

    def lit(self, rng: np.random.Generator) -> Array:
        """The finished picture (H, W, 3): light from the upper left grazing paint and canvas."""
        shape = self.thickness.shape
        weave = noise(rng, shape, 2.4, stretch=9) + noise(rng, shape[::-1], 2.4, stretch=9).T
        slope_y, slope_x = np.gradient(self.thickness + 0.22 * weave)
        light = np.tanh(0.5 * (slope_x * 0.6 + slope_y * 0.8))
        rgb = self.rgb * (1 + 0.30 * light[..., None])
        rgb += 0.10 * np.clip(light - 0.35, 0, 1)[..., None]
        return rgb * (1 + 0.02 * noise(rng, shape, 200)[..., None])


def stray(rng: np.random.Generator, tint: Array, variety: float) -> Array:
    """The tint, as it comes off a palette where neighbours have run into each other."""
    palette = np.asarray([CREAM, YELLOW, ORANGE, ROSE, PINK, SKY, BLUE, TEAL, CRIMSON])
    # The nearer one of two, because opposite colours would make mud.
    pair = palette[rng.integers(len(palette), size=2)]
    neighbour = pair[np.argmin(np.square(pair - tint).sum(1))]
    tint = mix(tint, neighbour, variety * rng.uniform() ** 2)
    light = np.clip(1 + variety * rng.normal(0.05, 0.4), 0.72, 1.5)
    return np.clip(tint * light + variety * rng.normal(0, 0.06, 3), 0, 1)


def draw_candy(rng: np.random.Generator) -> Array:
    shape = (1024, 1280)
    drawing = compose(rng, shape)
    painting = Painting(rng, drawing)
    painting.paint(rng, drawing, Brush(30, 110, 3.5, 1.0, 0.3, 0.2))
    painting.paint(rng, drawing, Brush(13, 60, 2.2, 0.9, 0.5, 0.4))
    painting.paint(rng, drawing, Brush(7, 34, 1.0, 0.85, 0.5, 0.55))
    painting.paint(rng, drawing, Brush(9, 30, 5.0, 1.0, 0.15, 0.25), outlines=True)
    painting.paint(rng, drawing, Brush(4, 22, 0.35, 0.9, 0.3, 0.8))
    return painting.lit(rng)


# ------------------------------------------------------------ sample: a lake in the mountains

# Drawn at twice the size it is kept at. World lengths: x to the right, height, z away from the eye.
VIEW = (960, 1280)
HORIZON, FOCAL, EYE = 430, 1100.0, 0.22
SUN = np.array([-0.62, 0.52, -0.59])
HAZE, WARM = colour("b9c9dc"), colour("ffe9c9")
Point = tuple[float, float]


def project(x: float, height: float, z: float) -> Point:
    """Where a place in the world is seen, in pixels (x, y)."""
    return VIEW[1] / 2 + FOCAL * x / z, HORIZON - FOCAL * (height - EYE) / z


def sample_at(field: Array, row: Array, column: Array) -> Array:
    """A field (H, W) at fractional places, repeated endlessly, bilinear."""
    height, width = field.shape
    top, left = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
    down, right = row - top, column - left
    above, below = top % height, (top + 1) % height
    before, after = left % width, (left + 1) % width
    upper = field[above, before] * (1 - right) + field[above, after] * right
    lower = field[below, before] * (1 - right) + field[below, after] * right
    return (upper * (1 - down) + lower * down).astype(np.float32)


class Terrain(NamedTuple):
    """Fields over a square of ground, (N, N): rows go away from the eye, columns to the right."""

    height: Array
    forest: Array
    sunlit: Array
    cell: float

    def place(self, x: Array, z: Array) -> tuple[Array, Array]:
        return z / self.cell, x / self.cell + self.height.shape[1] / 2


def build_terrain(rng: np.random.Generator) -> Terrain:
    size, cell = 2048, 24 / 2048
    shape = (size, size)
    z = (np.arange(size, dtype=np.float32) * cell)[:, None]
    x = ((np.arange(size, dtype=np.float32) - size / 2) * cell)[None]
    ridges, weight, strength = np.zeros(shape, np.float32), np.ones(shape, np.float32), 1.0
    for octave in range(8):
        # Ridged noise (Musgrave): sharp crests, and rough ground only where it is already high.
        crest = np.clip(1 - np.abs(0.5 * noise(rng, shape, 430 / 1.95**octave)), 0, 1) ** 1.6
        ridges += strength * weight * crest
        weight, strength = np.clip(crest * 1.1, 0, 1), strength * 0.52
    rise = smoothstep(8.5, 16.5, z + 0.9 * noise(rng, shape, 260, 4))
    side = 0.8 + 0.05 * (x + 1.5) ** 2 * np.exp(-np.abs(x) / 8)
    shore = np.clip((z - 7.6 + 0.5 * noise(rng, shape, 120, 5)) * 0.12, -0.3, 0.25)
    height = shore + rise * (0.15 + ridges) * 1.45 * side
    edge = x + 0.22 - 0.27 * z + 0.05 * noise(rng, shape, 30, 4) + 0.03 * noise(rng, shape, 90)
    bank = np.minimum(edge * 0.4, np.minimum((4.2 - z) * 0.2, 0.07 + 0.012 * edge))
    height = np.maximum(height, bank + 0.004 * noise(rng, shape, 14, 3) * (bank > -0.05))
    slope_z, slope_x = np.gradient(height, cell)
    steep = np.hypot(slope_x, slope_z)
    forest = smoothstep(1.35, 0.9, height + 0.22 * noise(rng, shape, 90, 5))
    forest *= smoothstep(1.5, 0.9, steep) * smoothstep(7.0, 7.6, z) * (height > 0.01)
    height = height + forest * 0.05 * (1 + np.abs(noise(rng, shape, 5, 2)))
    # Shadows: a ray from the left falls as it goes; what lies below it is dark.
    sunlit, ray = np.empty(shape, np.float32), height[:, 0].copy()
    for column in range(size):
        ray = np.maximum(ray - 0.55 * cell, height[:, column])
        sunlit[:, column] = smoothstep(0.10, 0.0, ray - height[:, column])
    return Terrain(height.astype(np.float32), forest.astype(np.float32), sunlit, cell)


def draw_sky(rng: np.random.Generator) -> Array:
    """Clouds on a plane overhead, thick ones dark below and bright toward the sun."""
    rows = np.arange(VIEW[0], dtype=np.float32)[:, None]
    elevation = np.clip((HORIZON - rows) / FOCAL, 0.006, 1)
    blue = mix(colour("c9dbe8"), colour("3f78b8"), smoothstep(-0.02, 0.42, elevation))
    glow = np.exp(-(((np.arange(VIEW[1])[None] - 250) / 700.0) ** 2)) * np.exp(-elevation * 7)
    sky = mix(np.broadcast_to(blue, (*VIEW, 3)), WARM, 0.75 * glow)
    away = 1 / (elevation + 0.11)
    across = (np.arange(VIEW[1], dtype=np.float32)[None] - 640) / FOCAL * away
    field = noise(rng, (1024, 1024), 150, 8) + 0.5 * noise(rng, (1024, 1024), 420, 2)
    warp = noise(rng, (1024, 1024), 60, 4)
    row, column = away * 105, across * 90 + 300
    bent = 9 * sample_at(warp, row, column)
    thick = sample_at(field, row + bent, column + bent)
    toward_sun = sample_at(field, row + bent + 5, column + bent - 12)
    cover = smoothstep(-0.25, 0.95, thick)
    bright = np.clip(
        0.74 + 0.30 * (thick - toward_sun) - 0.13 * np.clip(thick - 0.7, 0, 2), 0.45, 1
    )
    clouds = mix(colour("7f8ca3"), colour("fff6ea"), smoothstep(0.42, 0.95, bright))
    clouds = mix(clouds, colour("e9e2dc"), np.exp(-elevation * 9) * 0.7)
    return mix(sky, clouds, cover * 0.92)


def draw_land(rng: np.random.Generator, ground: Terrain, sky: Array) -> tuple[Array, Array]:
    """The land before the sky, RGB (H, W, 3), and where there is water instead, (H, W) bool."""
    depths = np.geomspace(0.3, 23.5, 1500).astype(np.float32)
    columns = (np.arange(VIEW[1], dtype=np.float32) - VIEW[1] / 2) / FOCAL
    x = depths[:, None] * columns
    heights = np.maximum(sample_at(ground.height, *ground.place(x, depths[:, None])), 0)
    seen_at = HORIZON - FOCAL * (heights - EYE) / depths[:, None]
    skyline = np.minimum.accumulate(seen_at, 0)
    rows = np.arange(VIEW[0])
    hit = np.stack([np.searchsorted(-skyline[:, c], -rows) for c in range(VIEW[1])], 1)
    open_sky = hit >= len(depths)
    hit = np.minimum(hit, len(depths) - 1)
    z = depths[hit]
    x = z * columns
    place = ground.place(x, z)
    height, forest = sample_at(ground.height, *place), sample_at(ground.forest, *place)
    step = np.clip(z / FOCAL / ground.cell, 1, 4)
    slope_x, slope_z = (
        (
            sample_at(ground.height, place[0] + down, place[1] + right)
            - sample_at(ground.height, place[0] - down, place[1] - right)
        )
        / (2 * step * ground.cell)
        for down, right in ((0, step), (step, 0))
    )
    upright = 1 / np.sqrt(1 + slope_x**2 + slope_z**2)
    facing = np.clip((SUN[1] - slope_x * SUN[0] - slope_z * SUN[2]) * upright, 0, 1)
    patches = sample_at(noise(rng, (1024, 1024), 60, 6), place[0] * 2, place[1] * 2)
    grain = noise(rng, VIEW, 5, 3)
    rock = mix(colour("6f6a68"), colour("a1968a"), smoothstep(-1.2, 1.4, patches + 0.4 * grain))
    meadow = mix(colour("56652c"), colour("98954a"), smoothstep(-1.2, 1.5, patches + 0.3 * grain))
    land = mix(rock, meadow, smoothstep(1.0, 0.4, height / 1.9 + np.hypot(slope_x, slope_z) * 0.55))
    land = mix(land, mix(colour("1d2f22"), colour("40552f"), smoothstep(-1, 1.5, grain)), forest)
    snow = smoothstep(1.9, 2.5, height + 0.35 * patches) * smoothstep(0.38, 0.62, upright)
    land = mix(land, colour("f4f5f8"), snow)
    sun = (facing * sample_at(ground.sunlit, *place))[..., None]
    land = land * (np.asarray(WARM) * 1.15 * sun + np.asarray(colour("8fa6c8")) * 0.50)
    haze = 1 - np.exp(-np.clip(z - 2, 0, None) * 0.042 * np.exp(-np.clip(height, 0, None) * 0.12))
    mist = 0.35 * smoothstep(6.5, 9.0, z) * np.exp(-np.clip(height, 0, None) * 4)
    land = mix(land, HAZE, np.maximum(haze, mist))
    water = (height < 0.004) & ~open_sky & (rows[:, None] > HORIZON)
    return np.where(open_sky[..., None], sky, land), water


def draw_water(rng: np.random.Generator, mirror: Array) -> Array:
    """Water under the horizon that reflects the mirrored picture (H, W, 3), already upside down."""
    rows = np.arange(VIEW[0], dtype=np.float32)[:, None]
    below = np.clip(rows - HORIZON, 1.5, None)
    z = EYE * FOCAL / below
    x = (np.arange(VIEW[1], dtype=np.float32)[None] - 640) / FOCAL * z
    waves = noise(rng, (1024, 1024), 18, 4, stretch=2.5)
    calm = noise(rng, (1024, 1024), 260, 3, stretch=3)
    swell = sample_at(waves, z * 420, x * 190) * np.clip(below / 60, 0.15, 1)
    gusts = smoothstep(-0.6, 1.4, sample_at(calm, z * 130, x * 60))
    tilt = swell * (0.35 + 0.9 * gusts)
    row = np.clip(rows + tilt * 9 + 6 * np.abs(tilt), HORIZON, VIEW[0] - 1)
    column = np.clip(np.arange(VIEW[1])[None] + tilt * 2.0, 0, VIEW[1] - 1)
    seen = np.stack([sample_at(mirror[..., c], row, column) for c in range(3)], -1)
    deep = mix(colour("1d3d4a"), colour("2c5a63"), smoothstep(-1.5, 1.5, swell))
    # Fresnel: a grazing look sees the reflection, a steep one sees into the water.
    steep = np.clip(below / 620, 0, 1) ** 0.9 + 0.06 * tilt
    water = mix(seen * np.float32(0.93), deep, np.clip(0.10 + 0.62 * steep, 0, 0.8))
    return water + 0.05 * np.clip(tilt - 0.9, 0, 2)[..., None]


class Sketch:
    """Solid things drawn on a clear layer, in pixels of the view."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.layer = Image.new("RGBA", (VIEW[1], VIEW[0]))
        self.pen = ImageDraw.Draw(self.layer)

    def tint(self, base: Array | Colour, light: float, spread: float = 0.05) -> tuple[int, ...]:
        """A base colour under a light of 0..1, from blue shade to warm sun, a little varied."""
        shade = np.asarray(colour("5f7397")) * (1 - light) + np.asarray(WARM) * 1.08 * light
        varied = np.asarray(base) * shade * (1 + self.rng.normal(0, spread))
        return (*(int(v) for v in np.clip(varied * 255, 0, 255)), 255)

    def quad(
        self,
        corners: Sequence[Point],
        base: Array | Colour,
        light: float,
        rows: int = 1,
        spread: float = 0.05,
    ) -> None:
        """A four-cornered face (from the upper left, clockwise) of that many boards."""
        a, b, c, d = (np.asarray(corner) for corner in corners)
        for row in range(rows):
            low, high = row / rows, (row + 1) / rows
            board = [a + (d - a) * low, b + (c - b) * low, b + (c - b) * high, a + (d - a) * high]
            tint = self.tint(base, light * (0.94 + 0.06 * low), spread)
            self.pen.polygon([tuple(p) for p in board], fill=tint)
            if rows > 1:
                self.line([tuple(board[3]), tuple(board[2])], base, light * 0.4)

    def line(
        self,
        points: Sequence[Point],
        base: Array | Colour,
        light: float,
        width: int = 1,
        spread: float = 0.05,
    ) -> None:
        self.pen.line(points, fill=self.tint(base, light, spread), width=width)

    def spot(self, x: float, y: float, size: float, base: Array | Colour, light: float) -> None:
        """A leaf or a petal: a small flat ellipse."""
        box = [x - size, y - 0.75 * size, x + size, y + 0.75 * size]
        self.pen.ellipse(box, fill=self.tint(base, light, 0.12))

    def array(self) -> tuple[Array, Array]:
        """RGB (H, W, 3) and alpha (H, W), both 0..1."""
        pixels = np.asarray(self.layer, np.float32) / 255
        return pixels[..., :3], pixels[..., 3]


def house(sketch: Sketch) -> None:
    left, right, front, back, foot, eaves, ridge = 0.50, 0.98, 2.15, 2.75, 0.07, 0.34, 0.56
    middle = (left + right) / 2
    wood, white, tiles = colour("a8432f"), colour("f1ead9"), colour("6d4a42")

    def wall(u0: float, u1: float, v0: float, v1: float) -> list[Point]:
        """A part of the front, u from left to right and v from the ground to the eaves."""

        def at(u: float, v: float) -> Point:
            return project(left + (right - left) * u, foot + (eaves - foot) * v, front)

        return [at(u0, v1), at(u1, v1), at(u1, v0), at(u0, v0)]

    def flank(w0: float, w1: float, v0: float, v1: float) -> list[Point]:
        """A part of the left side, w from back to front."""

        def at(w: float, v: float) -> Point:
            return project(left, foot + (eaves - foot) * v, back + (front - back) * w)

        return [at(w0, v1), at(w1, v1), at(w1, v0), at(w0, v0)]

    sketch.quad(flank(0, 1, -0.04, 1), wood, 0.95, 18)
    sketch.quad(wall(0, 1, -0.04, 1), wood, 0.62, 18)
    top = project(middle, ridge, front)
    gable = [project(left, eaves, front), top, project(right, eaves, front)]
    for board in range(14):
        share = board / 14
        low = [
            tuple(np.asarray(gable[0]) * (1 - share) + np.asarray(top) * share),
            tuple(np.asarray(gable[2]) * (1 - share) + np.asarray(top) * share),
        ]
        sketch.pen.polygon([*low, top], fill=sketch.tint(wood, 0.60))
        sketch.line(low, wood, 0.25)
    over = 0.05
    slope = (ridge - eaves) / (middle - left)
    low_edge = (left - over, eaves - over * slope)
    roof = [
        project(middle, ridge, back + over),
        project(middle, ridge, front - over),
        project(*low_edge, front - over),
        project(*low_edge, back + over),
    ]
    sketch.quad(roof, tiles, 0.98, 16, 0.10)
    for end in (low_edge, (right + over, eaves - over * slope)):
        a, b = project(middle, ridge + 0.012, front - over), project(*end, front - over)
        sketch.line([a, b], white, 0.75, 7)
        sketch.line([(a[0], a[1] + 6), (b[0], b[1] + 6)], wood, 0.1, 3)
    glass = colour("3d4e60")
    panes = [
        (wall, 0.10, 0.34, 0.42, 0.80),
        (wall, 0.66, 0.90, 0.42, 0.80),
        (flank, 0.16, 0.38, 0.42, 0.80),
        (flank, 0.60, 0.82, 0.42, 0.80),
        (wall, 0.40, 0.60, 1.08, 1.40),
    ]
    for face, u0, u1, v0, v1 in panes:
        sketch.quad(face(u0 - 0.025, u1 + 0.025, v0 - 0.04, v1 + 0.04), white, 0.85)
        for column in range(2):
            for row in range(2):
                du, dv = (u1 - u0) / 2, (v1 - v0) / 2
                pane = face(
                    u0 + column * du + 0.012,
                    u0 + (column + 1) * du - 0.012,
                    v0 + row * dv + 0.015,
                    v0 + (row + 1) * dv - 0.015,
                )
                sketch.quad(pane, mix(glass, colour("ffd98a"), 0.15 + 0.5 * row), 0.8, 5, 0.12)
    sketch.quad(wall(0.41, 0.59, 0.0, 0.78), white, 0.75)
    sketch.quad(wall(0.43, 0.57, 0.0, 0.75), colour("35584f"), 0.6, 6)
    stack = [
        project(middle - 0.13, ridge + 0.08, 2.5),
        project(middle - 0.06, ridge + 0.08, 2.5),
        project(middle - 0.06, ridge - 0.06, 2.5),
        project(middle - 0.13, ridge - 0.14, 2.5),
    ]
    sketch.quad(stack, colour("8d6a5c"), 0.85, 9, 0.12)


def conifer(sketch: Sketch, x: float, base: float, height: float) -> None:
    """A fir: from the crown down, ever longer boughs that droop and fork into needles."""
    rng = sketch.rng
    green = np.asarray(colour("3c5a37")) * rng.uniform(0.8, 1.15)
    trunk = [(x, base), (x, base - height)]
    sketch.line(trunk, colour("4a382c"), 0.4, max(2, int(height / 55)))
    for _ in range(int(height * 4.5)):
        part = rng.uniform(0.02, 0.95) ** 0.8
        layer = part + 0.025 * np.sin(part * 46)
        reach = height * 0.23 * layer * rng.uniform(0.25, 1.0) * rng.choice([-1, 1])
        y = base - height * (1 - part)
        tip = (x + reach, y + abs(reach) * rng.uniform(0.15, 0.5))
        root = (x + reach * rng.uniform(0.1, 0.6), y)
        outward = -reach / (height * 0.23)
        light = np.clip(0.38 + 0.5 * outward + rng.normal(0, 0.13) - 0.1 * part, 0.03, 1)
        sketch.line([root, tip], green, light, 2, 0.15)
        for _ in range(2):
            needle = (tip[0] - reach * rng.uniform(0, 0.35), tip[1] + rng.uniform(1, 6))
            sketch.line([tip, needle], green, light, 1, 0.2)


def leafy_tree(sketch: Sketch, x: float, base: float, height: float, green: Colour) -> None:
    """A broad tree: clumps of leaves on boughs, the hindmost and darkest drawn first."""
    rng = sketch.rng
    for lean in (-0.12, 0.0, 0.14):
        fork = (x + lean * height * 0.3, base - height * 0.4)
        bough = [(x, base), fork, (x + lean * height, base - height * 0.75)]
        sketch.line(bough, colour("5b4938"), 0.5, max(2, int(height / 40)))
    for order in range(26):
        angle, out = rng.uniform(0, 6.3), np.sqrt(rng.uniform())
        cx = x + np.cos(angle) * out * height * 0.30
        cy = base - height * 0.64 + np.sin(angle) * out * height * 0.30
        size = height * rng.uniform(0.08, 0.15)
        for _ in range(int(size * 9)):
            dx, dy = rng.normal(0, 0.5, 2)
            light = 0.34 - 0.30 * dx - 0.42 * dy + 0.012 * order + rng.normal(0, 0.1)
            light = np.clip(light, 0.02, 1)
            sketch.spot(cx + dx * size, cy + dy * size * 0.8, rng.uniform(1.2, 3.4), green, light)


def boat(sketch: Sketch, x: float, y: float, length: float) -> None:
    """A rowing boat, seen from the side and a little from above."""
    t = np.linspace(-1, 1, 41)
    belly = np.sqrt(np.clip(1 - t**2, 0, 1))
    sheer = y - length * (0.085 + 0.05 * t**2 + 0.02 * t**3)
    gunwale = np.stack([x + t * length / 2, sheer + length * 0.03 * belly], 1)
    far_side = np.stack([x + t * length / 2, sheer - length * 0.055 * belly], 1)
    keel = np.stack([x + t * 0.43 * length, y + 0.012 * length * (1 - t**2)], 1)
    wood, paint, stripe = colour("8a5f3a"), colour("e8e2d2"), colour("2f6f86")

    def face(upper: Array, lower: Array, base: Colour, light: float) -> None:
        corners = [tuple(point) for point in np.concatenate([upper, lower[::-1]])]
        sketch.pen.polygon(corners, fill=sketch.tint(base, light, 0.02))

    def edge(points: Array, base: Colour, light: float, width: int) -> None:
        sketch.line([tuple(point) for point in points], base, light, width)

    face(far_side, gunwale, colour("6b4a30"), 0.45)
    for bench in (11, 21, 30):
        ends = [far_side[bench], far_side[bench + 2], gunwale[bench + 2], gunwale[bench]]
        sketch.quad(ends, colour("b98d5c"), 0.8)
    for strake in range(5):
        upper, lower = (gunwale + (keel - gunwale) * (strake + part) / 5 for part in (0, 1))
        face(upper, lower, paint if strake else stripe, 0.85 - 0.13 * strake)
        edge(lower, paint, 0.25, 1)
    edge(gunwale, wood, 0.9, 4)
    edge(far_side, wood, 0.7, 3)


def grass(sketch: Sketch, ground: Terrain, nearest: float, farthest: float, count: int) -> None:
    """Blades, and some flowers, over the near bank, the far ones first."""
    rng = sketch.rng
    for z in np.sort(1 / rng.uniform(1 / farthest, 1 / nearest, count))[::-1]:
        x = rng.uniform(-0.62, 0.62) * z
        row, column = ground.place(np.asarray(x), np.asarray(z))
        height = float(sample_at(ground.height, row, column))
        if height < 0.006:
            continue
        px, py = project(x, height, z)
        size = rng.gamma(5, 0.006) * FOCAL / z * 0.25 * min(1.0, 0.4 + height * 14)
        clump = np.sin(x * 9 + np.sin(z * 7)) * 0.5 + np.sin(x * 23 - z * 17) * 0.3
        base = mix(colour("55702c"), colour("b3a656"), float(np.clip(0.45 + 0.4 * clump, 0, 1)))
        light = float(np.clip(0.55 + 0.25 * clump + rng.normal(0, 0.2), 0.05, 1))
        lean = rng.normal(0.15, 0.35) * size
        blade = [(px, py), (px + lean * 0.3, py - size * 0.6), (px + lean, py - size)]
        sketch.line(blade, base, light, 2 if z < 0.8 else 1, 0.1)
        if rng.uniform() < 0.007 and z < 2.0:
            petal = (colour("f6f1e6"), colour("e8c53a"), colour("c8587e"))[rng.integers(3)]
            sketch.spot(px + lean, py - size, max(1.2, 2.6 / z**0.8), petal, 0.9)


def cat(sketch: Sketch, x: float, y: float, size: float) -> None:
    """A ginger cat that sits with its back to us and looks over the lake, drawn hair by hair."""
    rng = sketch.rng
    shape = Image.new("L", sketch.layer.size)
    pen = ImageDraw.Draw(shape)

    def blob(cx: float, cy: float, rx: float, ry: float) -> None:
        left, top = x + (cx - rx) * size, y - (cy + ry) * size
        pen.ellipse([left, top, left + 2 * rx * size, top + 2 * ry * size], fill=255)

    head, haunches, back, shoulders = (-0.02, 0.75), (0, 0.20), (0, 0.36), (-0.01, 0.52)
    blob(*haunches, 0.25, 0.21)
    blob(*back, 0.205, 0.25)
    blob(*shoulders, 0.15, 0.18)
    blob(*head, 0.168, 0.14)
    for side in (-1, 1):
        blob(side * 0.175, 0.05, 0.11, 0.055)
        ear = ((0.165, 0.79), (0.150, 0.99), (0.05, 0.87))
        pen.polygon([(x + (head[0] + side * u) * size, y - v * size) for u, v in ear], fill=255)
    for t in np.linspace(0, 1, 60):
        blob(0.20 + 0.34 * np.sin(t * 2.2), 0.05 + 0.07 * t**2 + 0.05 * np.sin(t * 5), 0.05, 0.042)
    mask = np.asarray(shape, np.float32) / 255
    soft = np.asarray(shape.filter(ImageFilter.GaussianBlur(size * 0.055)), np.float32) / 255
    down, right = (np.asarray(slope) for slope in np.gradient(soft * size))
    sketch.layer.paste(sketch.tint(colour("8a5127"), 0.35), mask=shape)
    wobble = noise(rng, VIEW, 26, 2)
    rows, columns = np.nonzero(mask)
    for index in rng.permutation(len(rows))[: int(len(rows) * 0.9)]:
        px, py = columns[index], rows[index]
        u, v = (px - x) / size, (y - py) / size
        light = 0.50 + 0.068 * right[py, px] + 0.06 * down[py, px]
        light += 0.05 * rng.normal() + 0.12 * (v - 0.4)
        stripe = np.sin(36 * v + 10 * abs(u) + 1.3 * wobble[py, px]) * min(1.0, 0.1 + 7 * abs(u))
        stripe = max(stripe, 1 - 26 * abs(u + 0.02 * v)) + 0.25 * wobble[py, px]
        dark = float(smoothstep(0.0, 1.1, np.asarray(stripe)))
        base = mix(colour("d99a58"), colour("8f5227"), dark)
        away = rng.normal(0, 0.25) + 1.4 * u
        hair = size * rng.uniform(0.02, 0.045)
        tip = (px + hair * np.sin(away), py + hair * np.cos(away))
        sketch.line([(px, py), tip], base, float(np.clip(light, 0.03, 1)), 1, 0.08)


def draw_sample(rng: np.random.Generator) -> Array:
    ground = build_terrain(rng)
    land, water = draw_land(rng, ground, draw_sky(rng))
    standing = Sketch(rng)
    for x, height in ((868, 150), (905, 210), (1190, 350), (1130, 300), (1262, 420), (1080, 250)):
        conifer(standing, x, 486 + height / 30, height)
    house(standing)
    leafy_tree(standing, 1225, 530, 250, colour("7d8a35"))
    floating, waterline = Sketch(rng), 640
    boat(floating, 330, waterline, 200)

    rgb, alpha = standing.array()
    scene = mix(land, rgb, alpha)
    mirror = scene.copy()
    mirror[HORIZON : 2 * HORIZON] = scene[:HORIZON][::-1]
    mirror[2 * HORIZON :] = scene[0]
    boat_rgb, boat_alpha = floating.array()
    hull = slice(2 * waterline - VIEW[0], waterline)
    upturned, dimmed = boat_rgb[hull][::-1] * 0.8, boat_alpha[hull][::-1] * 0.95
    mirror[waterline:] = mix(mirror[waterline:], upturned, dimmed)
    scene = np.where(water[..., None], draw_water(rng, mirror), land)
    scene = mix(mix(scene, rgb, alpha), boat_rgb, boat_alpha)

    front = Sketch(rng)
    grass(front, ground, 0.33, 2.15, 42000)
    scene = mix(scene, *front.array())
    x, y, size = 700, 912, 255
    columns, rows = np.arange(VIEW[1])[None] - x, np.arange(VIEW[0])[:, None] - y
    shadow = np.exp(-(((columns - 0.35 * size) / (0.5 * size)) ** 2) - (rows / (0.10 * size)) ** 2)
    scene = mix(scene, scene * np.float32(0.35), shadow)
    near = Sketch(rng)
    cat(near, x, y, size)
    grass(near, ground, 0.27, 0.345, 2500)
    scene = mix(scene, *near.array())
    picture = Image.fromarray((np.clip(scene, 0, 1) * 255).astype(np.uint8))
    small = picture.resize((VIEW[1] // 2, VIEW[0] // 2), Image.Resampling.LANCZOS)
    final = np.asarray(small, np.float32) / 255
    return final + 0.009 * rng.normal(size=(*final.shape[:2], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pictures = {"candy": draw_candy, "sample": draw_sample}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(pictures)}")
    names = parser.parse_args().names or list(pictures)
    for name in names:
        if name not in pictures:
            parser.error(f"no picture {name!r}; there is: {', '.join(pictures)}")
    for name in names:
        save(pictures[name](np.random.default_rng(SEED)), FOLDER / f"{name}.jpg", 90)


if __name__ == "__main__":
    main()

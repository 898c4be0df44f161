"""candy, a style image: flowing bands, lollipops, wrapped sweets and leaves, painted in strokes.

A composition gives every pixel a colour, a region and a direction; several brushes then paint it
in thousands of strokes that follow the direction and keep to their region.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from artwork.canvas import Array, Colour, colour, mix, noise, smoothstep

Window = tuple[slice, slice]

# The composition: what is to be painted

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


# The painting


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

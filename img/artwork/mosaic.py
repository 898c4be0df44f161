"""mosaic, a style image: a stained-glass window of sun, hills, a river and flowers.

A design gives every spot a colour and a direction. Pieces of glass, about square, are laid along
the directions; lead runs between them, and light comes through.
"""

from typing import NamedTuple

import numpy as np
from artwork.canvas import Array, Colour, colour, mix, noise, ramp, smoothstep
from PIL import Image, ImageFilter
from scipy.spatial import cKDTree

COBALT, AZURE, TURQUOISE = colour("1c3f94"), colour("2f7ed8"), colour("35b6b4")
EMERALD, MOSS, LIME = colour("128a4c"), colour("4f7a1f"), colour("a4c639")
AMBER, GOLD, IVORY = colour("f0951c"), colour("fbc531"), colour("fdf0c4")
RUBY, ROSE, VIOLET, PLUM = colour("b3132b"), colour("ec5f86"), colour("7b4bb3"), colour("4a2378")
LEAD = colour("14131a")


class Flower(NamedTuple):
    x: float
    y: float
    radius: float
    petals: int
    outer: Colour
    inner: Colour


SUN = (850.0, 300.0)
FLOWERS = [
    Flower(190, 800, 165, 8, RUBY, ROSE),
    Flower(470, 900, 120, 7, VIOLET, IVORY),
    Flower(1130, 850, 150, 9, ROSE, GOLD),
    Flower(860, 960, 95, 6, AMBER, IVORY),
    Flower(60, 980, 90, 6, PLUM, ROSE),
    Flower(1270, 640, 80, 7, RUBY, AMBER),
]


class Design:
    """What the window shows, for each pixel (H, W): colour, direction, piece size, and region."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int]) -> None:
        self.rgb = np.zeros((*shape, 3), np.float32)
        self.angle = np.zeros(shape, np.float32)
        self.size = np.zeros(shape, np.float32)
        self.region = np.zeros(shape, np.int32)
        self.regions_used = 0
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        self.x, self.y = x + 5 * noise(rng, shape, 90), y + 5 * noise(rng, shape, 90)

    def lay(self, where: Array, rgb: Array, angle: Array, size: float, cells: Array) -> None:
        """Put a shape over what is there; cells number its parts, between which lead is thick."""
        self.rgb[where] = rgb[where]
        self.angle[where] = angle[where]
        self.size[where] = size
        self.region[where] = (self.regions_used + cells)[where]
        self.regions_used += int(cells.max()) + 1


def sky(design: Design) -> None:
    dx, dy = design.x - SUN[0], design.y - SUN[1]
    distance, around = np.hypot(dx, dy), np.arctan2(dy, dx)
    everywhere = np.ones(distance.shape, bool)
    band = np.floor(distance / 62 + 0.25 * np.sin(3 * around)).astype(np.int32)
    stops = [IVORY, GOLD, ROSE, VIOLET, AZURE, TURQUOISE, AZURE, COBALT, COBALT]
    rgb = ramp(stops, distance / 1000 + 0.03 * (band % 2))
    design.lay(everywhere, rgb, around + np.pi / 2, 27, band)
    # Rays get wider as they go, and every second one is brighter than the sky.
    ray = np.floor((around + np.pi) / (2 * np.pi) * 28).astype(np.int32)
    rays = (ray % 2 == 0) & (distance > 120) & (distance < 470 + 90 * np.cos(ray * 2.4))
    bright = ramp([IVORY, GOLD, AMBER, ROSE], distance / 520)
    design.lay(rays, bright, around, 24, ray)
    ring = np.floor(distance / 30).astype(np.int32)
    disc = ramp([IVORY, GOLD, AMBER, RUBY], distance / 125 + 0.12 * (ring % 2))
    design.lay(distance < 122, disc, around + np.pi / 2, 19, np.minimum(ring, 9))


def hills(design: Design, rng: np.random.Generator) -> None:
    width = design.x.shape[1]
    rows = [
        (500, 60, [COBALT, VIOLET, PLUM], 25),
        (585, 70, [TURQUOISE, EMERALD, COBALT], 26),
        (690, 60, [LIME, EMERALD, MOSS], 28),
    ]
    for base, swing, stops, size in rows:
        first, second = rng.uniform(0, 6.3, 2)
        phase = design.x / width * 2 * np.pi
        crest = base + swing * (
            0.6 * np.sin(1.3 * phase + first) + 0.4 * np.sin(2.9 * phase + second)
        )
        below = design.y - crest
        slope = np.gradient(crest, axis=1)
        band = np.clip(below / 46, 0, 30).astype(np.int32)
        rgb = ramp(stops, below / 260 + 0.13 * (band % 2))
        design.lay(below > 0, rgb, np.arctan(slope), size, band)


def river(design: Design) -> None:
    rise = np.clip((design.y - 640) / 400, 0, 1)
    middle = 690 + 190 * np.sin(3.6 * rise + 0.4) * (0.35 + rise)
    half = 24 + 145 * rise**1.3
    across = (design.x - middle) / half
    bank = np.gradient(middle, axis=0)
    # A single row of pieces at the source, where stripes would be nothing but lead.
    stripes = np.floor(half / 22)
    stripe = np.floor(np.clip(across + 1, 0, 1.999) / 2 * stripes).astype(np.int32)
    rgb = ramp([COBALT, AZURE, IVORY, TURQUOISE, COBALT], (across + 1) / 2 + 0.1 * (stripe % 2))
    design.lay(
        (np.abs(across) < 1) & (design.y > 640), rgb, np.pi / 2 - np.arctan(bank), 23, stripe
    )


def flower(design: Design, blossom: Flower) -> None:
    dx, dy = design.x - blossom.x, design.y - blossom.y
    distance, around = np.hypot(dx, dy), np.arctan2(dy, dx)
    turn = around / (2 * np.pi) * blossom.petals
    petal = np.floor(turn)
    side = turn - petal - 0.5
    reach = blossom.radius * (0.62 + 0.38 * np.cos(np.pi * side))
    share = distance / reach
    cells = np.mod(petal, blossom.petals).astype(np.int32) * 2 + (share > 0.72)
    rgb = ramp([blossom.inner, blossom.outer, blossom.outer, PLUM], share)
    rgb = mix(rgb, IVORY, 0.25 * np.clip(1 - 5 * np.abs(side), 0, 1))
    design.lay(share < 1, rgb, around + 1.1 * side, 21, cells)
    heart = distance < 0.24 * blossom.radius
    ring = np.floor(distance / (0.12 * blossom.radius)).astype(np.int32)
    design.lay(heart, ramp([AMBER, GOLD], ring / 2), around + np.pi / 2, 14, np.minimum(ring, 3))


def compose(rng: np.random.Generator, shape: tuple[int, int]) -> Design:
    design = Design(rng, shape)
    sky(design)
    hills(design, rng)
    river(design)
    for blossom in FLOWERS:
        flower(design, blossom)
    return design


class Pieces(NamedTuple):
    """Which piece of glass each pixel (H, W) belongs to, and how far its edge is, in pixels."""

    number: Array
    edge: Array
    spots: Array


def cut(rng: np.random.Generator, design: Design) -> Pieces:
    """Squares along the design's directions, as far as their neighbours leave them room."""
    shape = design.angle.shape
    spots = scattered(rng, design)
    rows, columns = spots[:, 0].astype(int), spots[:, 1].astype(int)
    angle, size = design.angle[rows, columns], design.size[rows, columns]
    y, x = np.mgrid[: shape[0], : shape[1]]
    pixels = np.stack([y.ravel(), x.ravel()], 1)
    _, near = cKDTree(spots).query(pixels, k=9, workers=-1)
    away = pixels[:, None] - spots[near]
    cos, sin = np.cos(angle[near]), np.sin(angle[near])
    along, across = away[..., 1] * cos + away[..., 0] * sin, away[..., 0] * cos - away[..., 1] * sin
    # A square's distance, with corners a little rounded; other regions are far away.
    reach = (np.abs(along / 1.15) ** 5 + np.abs(across) ** 5) ** 0.2 / size[near]
    reach += 2.0 * (design.region[rows, columns][near] != design.region.ravel()[:, None])
    order = np.argsort(reach, axis=1)[:, :2]
    first, second = np.take_along_axis(reach, order, 1).T
    chosen = np.take_along_axis(near, order[:, :1], 1)[:, 0]
    edge = (np.minimum(second, 1.6) - first) * size[chosen] / 2
    return Pieces(chosen.reshape(shape), edge.reshape(shape).astype(np.float32), spots)


def scattered(rng: np.random.Generator, design: Design) -> Array:
    """Middles of pieces (K, 2) as (row, column), evenly apart, a piece's size from each other."""
    height, width = design.angle.shape
    step = float(design.size.min()) * 0.5
    candidates = np.mgrid[0:height:step, 0:width:step].reshape(2, -1).T
    candidates = candidates + rng.uniform(-step / 2, step / 2, candidates.shape)
    candidates = np.clip(candidates, 0, [height - 1, width - 1])
    taken = np.zeros((height, width), bool)
    spots = []
    for row, column in rng.permutation(candidates):
        y, x = int(row), int(column)
        if taken[y, x]:
            continue
        spots.append((row, column))
        reach = 0.86 * design.size[y, x]
        top, left = max(int(y - reach), 0), max(int(x - reach), 0)
        window = (slice(top, int(y + reach) + 1), slice(left, int(x + reach) + 1))
        dy, dx = np.ogrid[window[0].start : window[0].stop, window[1].start : window[1].stop]
        dy, dx = dy[: height - top] - row, dx[:, : width - left] - column
        near = (dy**2 + dx**2 < reach**2) & (design.region[window] == design.region[y, x])
        taken[window] |= near
    return np.asarray(spots)


def draw_mosaic(rng: np.random.Generator) -> Array:
    shape = (1024, 1280)
    design = compose(rng, shape)
    pieces = cut(rng, design)
    rows, columns = pieces.spots[:, 0].astype(int), pieces.spots[:, 1].astype(int)
    tints = design.rgb[rows, columns]
    count = len(tints)
    light = np.clip(rng.normal(1.0, 0.2, (count, 1)), 0.55, 1.5)
    tints = np.clip(tints * light + rng.normal(0, 0.05, (count, 3)), 0, 1)
    glass = tints[pieces.number].astype(np.float32)
    # Glass is thicker here and thinner there, has streaks and bubbles, and catches light on a side.
    lean = rng.normal(0, 0.012, (count, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    dy, dx = y - rows[pieces.number], x - columns[pieces.number]
    tilt = lean[pieces.number]
    streaks = 0.09 * noise(rng, shape, 9, 3, stretch=5) + 0.05 * noise(rng, shape, 2.5)
    shine = 1 + tilt[..., 0] * dy + tilt[..., 1] * dx + streaks
    glass = glass * shine[..., None]
    bevel = smoothstep(6.0, 1.5, pieces.edge)
    slope_y, slope_x = np.gradient(pieces.edge)
    glint = np.clip(-(0.6 * slope_x + 0.8 * slope_y), -1, 1) * bevel
    glass = glass * (1 - 0.28 * bevel[..., None]) + 0.22 * np.clip(glint, 0, 1)[..., None] * IVORY
    lead = leading(rng, design, pieces)
    window = mix(glass, mix(LEAD, colour("4a4955"), np.clip(glint, 0, 1) * 0.8), lead)
    return glow(window)


def leading(rng: np.random.Generator, design: Design, pieces: Pieces) -> Array:
    """How much of each pixel is lead: thin between pieces, thick where the design changes."""
    shape = design.angle.shape
    region = design.region[pieces.spots[:, 0].astype(int), pieces.spots[:, 1].astype(int)]
    region = region[pieces.number]
    border = np.zeros(shape, bool)
    border[:-1] |= region[:-1] != region[1:]
    border[:, :-1] |= region[:, :-1] != region[:, 1:]
    soft = Image.fromarray((border * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2.2))
    thick = smoothstep(0.06, 0.13, np.asarray(soft, np.float32) / 255)
    hand = np.clip(1 + 0.25 * noise(rng, shape, 30, 2), 0.5, 1.6)
    return np.maximum(thick, smoothstep(2.3 * hand, 1.2 * hand, pieces.edge))


def glow(window: Array) -> Array:
    """Light scattered in the glass: bright pieces shine over the lead around them."""
    picture = Image.fromarray((np.clip(window, 0, 1) * 255).astype(np.uint8))
    total = np.asarray(window, np.float32)
    for radius, strength in ((4, 0.16), (16, 0.14)):
        blurred = picture.filter(ImageFilter.GaussianBlur(radius))
        halo = (np.asarray(blurred, np.float32) / 255) ** 1.5 * strength
        total = 1 - (1 - np.clip(total, 0, 1)) * (1 - halo)
    return total

"""cubist, a style image: a still life seen from many sides at once, in planes and hatching.

Straight cuts break the picture into facets. Each facet shows the still life a little moved, turned
and enlarged, in its own light, and is painted in strokes along its own direction.
"""

from typing import NamedTuple

import numpy as np
from artwork.canvas import Array, colour, mix, noise, sample_at, smoothstep
from PIL import Image, ImageFilter

INK, UMBER, SIENNA = colour("1b1a1f"), colour("5a3a22"), colour("a5552a")
OCHRE, SAND, CREAM = colour("c9922f"), colour("dcc08a"), colour("f4e8cc")
SLATE, PRUSSIAN, TEAL = colour("66788a"), colour("1f3f63"), colour("2d7f86")
MOSS, VERMILION, ROSE = colour("5c6b34"), colour("d1432a"), colour("c98a7a")
PALETTE = np.asarray(
    [SLATE, OCHRE, UMBER, SIENNA, INK, SAND, CREAM, MOSS, TEAL, VERMILION, PRUSSIAN, ROSE, OCHRE],
    np.float32,
)
WALL, TABLE, SHADOW, WOOD, HOLE, NECK, PAPER, GLASS, CLOTH, APPLE, NIGHT, PEAR, LEMON = range(13)
CUTS = np.radians([12, 38, 67, 96, 128, 157])


class Facets(NamedTuple):
    """Which facet each pixel (H, W) is in, its distance to the nearest cut in pixels, the number
    of facets, and their middles (K, 2) as (x, y)."""

    number: Array
    edge: Array
    count: int
    middles: Array


def cut(rng: np.random.Generator, shape: tuple[int, int], largest: float, curved: float) -> Facets:
    """Split the largest facet again and again, until none has more than `largest` of the area."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    number = np.zeros(shape, np.int32)
    edge = np.full(shape, 1e3, np.float32)
    areas = [number.size]
    while max(areas) > largest * number.size:
        widest = int(np.argmax(areas))
        rows, columns = np.nonzero(number == widest)
        spot = rng.integers(len(rows))
        # Between a random spot and the middle, so that facets are uneven but not slivers.
        row = 0.4 * rows[spot] + 0.6 * rows.mean()
        column = 0.4 * columns[spot] + 0.6 * columns.mean()
        angle = rng.choice(CUTS) + rng.normal(0, 0.08)
        cos, sin = np.cos(angle), np.sin(angle)
        dy, dx = y[rows, columns] - row, x[rows, columns] - column
        along, side = dx * cos + dy * sin, dy * cos - dx * sin
        if rng.uniform() < 0.35:
            side = side - curved * along**2 * rng.choice([-1, 1])
        beyond = side > 0
        edge[rows, columns] = np.minimum(edge[rows, columns], np.abs(side))
        number[rows[beyond], columns[beyond]] = len(areas)
        areas[widest] = int((~beyond).sum())
        areas.append(int(beyond.sum()))
    sums = np.bincount(number.ravel(), minlength=len(areas)).clip(1)
    middle_x = np.bincount(number.ravel(), x.ravel(), len(areas)) / sums
    middle_y = np.bincount(number.ravel(), y.ravel(), len(areas)) / sums
    return Facets(number, edge, len(areas), np.stack([middle_x, middle_y], 1))


def still_life(x: Array, y: Array) -> tuple[Array, Array]:
    """What is where in the scene: a thing's number, and how light it is (-1..1) by its form."""
    thing = np.where(y > 640 + 0.12 * (x - 640), TABLE, WALL)
    light = np.where(thing == TABLE, 0.25 * np.sin(x / 60), 0.3 * np.sin(x / 150 + y / 260))
    window = (np.abs(x - 1030) < 150) & (np.abs(y - 240) < 190)
    panes = window & (np.abs(x - 1030) > 9) & (np.abs(y - 240) > 9)
    thing = np.where(window, SHADOW, thing)
    thing = np.where(panes, NIGHT, thing)
    moon = np.hypot(x - 1090, y - 160) < 52
    thing, light = np.where(panes & moon, PAPER, thing), np.where(panes, (300 - y) / 400, light)

    def put(inside: Array, what: int, form: Array | float) -> None:
        nonlocal thing, light
        thing, light = np.where(inside, what, thing), np.where(inside, form, light)

    fold = 0.8 * x + 0.6 * y
    put((y > 700 + 60 * np.sin(x / 120)) & (x < 560), CLOTH, np.sin(fold / 26))
    u, v = turned(x - 300, y - 560, -0.35)
    sheet = (np.abs(u) < 170) & (np.abs(v) < 120)
    put(sheet, PAPER, -v / 300)
    put(sheet & (np.mod(v + 120, 60) < 42) & (np.mod(v, 10) < 2.2), SHADOW, 0.0)
    # The guitar: two rounds and a waist, a hole, a neck with strings.
    u, v = turned(x - 640, y - 610, -0.95)
    lower, upper = np.hypot(u + 70, v) / 215, np.hypot(u - 175, v) / 160
    waist = (np.abs(u - 70) < 90) & (np.abs(v) < 128)
    body = (lower < 1) | (upper < 1) | waist
    put(body, WOOD, 0.55 - np.minimum(lower, upper) + v / 500)
    rim = body & ((np.minimum(lower, upper) > 0.93) & ~(waist & (np.abs(v) < 112)))
    put(rim, SHADOW, -0.3)
    ring = np.hypot(u - 85, v)
    put(ring < 82, LEMON, 0.4)
    put(ring < 66, HOLE, -ring / 120)
    put((np.abs(v) < 30) & (u > 120) & (u < 610), NECK, -v / 50)
    put((np.abs(v) < 44) & (u > 600) & (u < 700), SHADOW, v / 70)
    put((np.abs(u + 150) < 12) & (np.abs(v) < 74), SHADOW, 0.2)
    put((np.mod(v + 25, 10) < 2.0) & (np.abs(v) < 25) & (u > -150) & (u < 620), PAPER, 0.5)
    # A bottle, and fruit before it.
    bottle = (np.abs(x - 205) < 74) & (y > 250) & (y < 690)
    neck = (np.abs(x - 205) < 28) & (y > 60) & (y <= 190)
    shoulder = (
        (y > 180) & (y <= 255) & (np.abs(x - 205) < 28 + 46 * (np.clip(y - 180, 0, 75) / 75) ** 1.6)
    )
    put(bottle | neck | shoulder, GLASS, 0.75 * np.cos((x - 165) / 42))
    put((np.abs(x - 205) < 74) & (np.abs(y - 470) < 66), PAPER, 0.5 * np.cos((x - 165) / 60))
    for px, py, radius, what in (
        (930, 770, 96, APPLE),
        (1080, 820, 88, PEAR),
        (830, 880, 82, LEMON),
        (1190, 720, 78, APPLE),
    ):
        distance = np.hypot(x - px, (y - py) * 1.06) / radius
        put(
            distance < 1,
            what,
            0.9 - 1.5 * np.hypot(x - px + 0.35 * radius, y - py + 0.4 * radius) / radius / 1.6,
        )
    return thing, np.clip(light, -1, 1)


def turned(dx: Array, dy: Array, angle: float) -> tuple[Array, Array]:
    cos, sin = np.cos(angle), np.sin(angle)
    return dx * cos + dy * sin, dy * cos - dx * sin


def draw_cubist(rng: np.random.Generator) -> Array:
    shape = (1024, 1280)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = x + 3 * noise(rng, shape, 60, 2), y + 3 * noise(rng, shape, 60, 2)
    views, planes = cut(rng, shape, 0.045, 0.0009), cut(rng, shape, 0.012, 0.0016)
    # Each view moves, turns and enlarges what it shows.
    middle = views.middles[views.number].astype(np.float32)
    turn = rng.normal(0, 0.30, views.count)[views.number].astype(np.float32)
    zoom = np.exp(rng.normal(0.02, 0.16, views.count))[views.number].astype(np.float32)
    shift = rng.normal(0, 44, (views.count, 2))[views.number].astype(np.float32)
    dx, dy = turned(x - middle[..., 0], y - middle[..., 1], turn)
    seen_x, seen_y = (
        middle[..., 0] + dx / zoom + shift[..., 0],
        middle[..., 1] + dy / zoom + shift[..., 1],
    )
    thing, form = still_life(seen_x, seen_y)
    rgb = PALETTE[thing]
    # Light falls across each plane from a corner of its own, as if the planes stood at angles.
    corner = rng.choice(CUTS, planes.count) + rng.choice([0, np.pi], planes.count)
    px, py = (planes.middles[planes.number][..., n].astype(np.float32) for n in (0, 1))
    across = (x - px) * np.cos(corner)[planes.number] + (y - py) * np.sin(corner)[planes.number]
    plane = np.tanh(across / 62) + rng.normal(0, 0.35, planes.count)[planes.number]
    tone = np.clip(0.55 * form + 0.60 * plane, -1.2, 1.2)[..., None].astype(np.float32)
    tint = np.asarray([SLATE, OCHRE, TEAL, ROSE, SAND], np.float32)
    tint = tint[rng.integers(0, len(tint), planes.count)][planes.number]
    rgb = mix(rgb, tint, 0.24)
    rgb = np.where(tone > 0, mix(rgb, CREAM, 0.62 * tone[..., 0]), rgb)
    rgb = np.where(tone < 0, mix(rgb, rgb * rgb * np.float32(0.30), -0.95 * tone[..., 0]), rgb)
    direction = (corner + np.pi / 2)[planes.number].astype(np.float32)
    rgb, relief = brushed(rng, rgb, direction, x, y)
    rgb = joined(rgb, np.minimum(views.edge, planes.edge))
    rgb = hatched(rng, rgb, planes, plane, direction, x, y)
    rgb = outlined(rng, rgb, thing + 20 * views.number, views, planes)
    slope_y, slope_x = np.gradient(relief)
    grazing = np.tanh(0.9 * (0.6 * slope_x + 0.8 * slope_y))
    return np.clip(rgb * (1 + 0.16 * grazing[..., None]), 0, 1)


def brushed(
    rng: np.random.Generator, rgb: Array, direction: Array, x: Array, y: Array
) -> tuple[Array, Array]:
    """Broad strokes along each plane's direction, and how thick the paint lies (H, W)."""
    tile = (512, 512)
    streaks = noise(rng, tile, 3.0, 2, stretch=14) + 0.7 * noise(rng, tile, 11, stretch=5)
    along = x * np.cos(direction) + y * np.sin(direction)
    across = y * np.cos(direction) - x * np.sin(direction)
    streak = sample_at(streaks.astype(np.float32), across, along)
    dabs = sample_at(noise(rng, tile, 22, 2, stretch=2.6), across * 1.1, along)
    rgb = rgb * (1 + 0.085 * streak + 0.10 * dabs)[..., None]
    warm = mix(rgb, OCHRE, 0.22 * smoothstep(0.6, 1.6, dabs))
    return mix(warm, SLATE, 0.22 * smoothstep(0.6, 1.6, -dabs)), streak + dabs


def joined(rgb: Array, edge: Array) -> Array:
    """Wet paint of neighbouring planes runs together along the cuts."""
    picture = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)), np.float32) / 255
    return mix(rgb, soft, smoothstep(2.6, 1.0, edge))


def hatched(
    rng: np.random.Generator,
    rgb: Array,
    planes: Facets,
    plane: Array,
    direction: Array,
    x: Array,
    y: Array,
) -> Array:
    """Parallel lines of charcoal or chalk in some planes, denser where they are dark."""
    kind = rng.choice([0, 0, 1, 1, 2], planes.count)[planes.number]
    pitch = rng.uniform(8, 15, planes.count)[planes.number]
    lean = rng.choice([0.0, 0.6, -0.6], planes.count)[planes.number]
    wave = 2.0 * noise(rng, plane.shape, 50, 2)
    angle = direction + lean
    lines = np.abs(np.mod((y * np.cos(angle) - x * np.sin(angle) + wave) / pitch, 1) - 0.5) * pitch
    pressure = np.clip(0.65 + 0.5 * noise(rng, plane.shape, 14, 2), 0, 1.2)
    charcoal = smoothstep(1.9, 0.7, lines) * pressure * (kind == 1) * smoothstep(0.35, -0.7, plane)
    chalk = smoothstep(1.7, 0.6, lines) * pressure * (kind == 2) * smoothstep(-0.35, 0.7, plane)
    return mix(mix(rgb, INK, 0.72 * charcoal), CREAM, 0.70 * chalk)


def outlined(
    rng: np.random.Generator, rgb: Array, parts: Array, views: Facets, planes: Facets
) -> Array:
    """Contours of things in a loaded brush, the cuts between planes thinner and broken."""
    border = np.zeros(parts.shape, bool)
    border[:-1] |= parts[:-1] != parts[1:]
    border[:, :-1] |= parts[:, :-1] != parts[:, 1:]
    soft = Image.fromarray((border * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.8))
    pressure = np.clip(1 + 0.5 * noise(rng, parts.shape, 40, 3), 0.2, 1.8)
    contour = smoothstep(0.09, 0.21, np.asarray(soft, np.float32) / 255 * pressure)
    broken = smoothstep(-0.3, 0.4, noise(rng, parts.shape, 80, 2))
    seam = smoothstep(2.6, 1.0, planes.edge) * broken * 0.75
    cut_line = smoothstep(3.4, 1.6, views.edge) * 0.85
    return mix(rgb, INK, np.maximum(np.maximum(contour * 0.95, seam), cut_line))

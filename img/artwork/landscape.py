"""sample, a content image: a ray-cast landscape with a lake, a house, a boat and a cat."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from artwork.canvas import Array, Colour, colour, mix, noise, sample_at, smoothstep
from PIL import Image, ImageDraw, ImageFilter

# Drawn at twice the size it is kept at. World lengths: x to the right, height, z away from the eye.
VIEW = (960, 1280)
HORIZON, FOCAL, EYE = 430, 1100.0, 0.22
SUN = np.array([-0.62, 0.52, -0.59])
HAZE, WARM = colour("b9c9dc"), colour("ffe9c9")
Point = tuple[float, float]


def project(x: float, height: float, z: float) -> Point:
    """Where a place in the world is seen, in pixels (x, y)."""
    return VIEW[1] / 2 + FOCAL * x / z, HORIZON - FOCAL * (height - EYE) / z


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

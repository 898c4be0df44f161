"""feathers, a style image: rows of a fantastic bird's plumage, barb by barb."""

from typing import NamedTuple

import numpy as np
from artwork.canvas import Array, Colour, colour, mix, noise, ramp, smoothstep
from PIL import Image, ImageFilter

NIGHT, INDIGO, COBALT = colour("101a3c"), colour("27348b"), colour("1f6fc4")
TEAL, JADE, OLIVE = colour("0f8f96"), colour("2fa36b"), colour("6f7d1f")
BRONZE, COPPER, AMBER = colour("a8661e"), colour("d2622a"), colour("f2a93b")
SCARLET, CRIMSON, BLUSH = colour("d5283a"), colour("8d1436"), colour("f3a6a0")
CREAM, PLUM = colour("f8ecd0"), colour("5b2a6e")


class Plumage(NamedTuple):
    """Colours from a feather's root to its tip, of its eye from the middle outwards, if it has
    one, and of its shaft."""

    vane: list[Colour]
    eye: list[Colour]
    shaft: Colour


PEACOCK = Plumage([NIGHT, TEAL, JADE, OLIVE, AMBER], [NIGHT, INDIGO, COBALT, TEAL, BRONZE], CREAM)
PHEASANT = Plumage([CRIMSON, COPPER, AMBER, BRONZE], [CREAM, AMBER, CRIMSON, NIGHT], CREAM)
PARROT = Plumage([PLUM, CRIMSON, SCARLET, COPPER, AMBER], [], BLUSH)
JAY = Plumage([NIGHT, INDIGO, COBALT, TEAL, CREAM], [], CREAM)
DUSK = Plumage([NIGHT, PLUM, COBALT, BLUSH], [AMBER, SCARLET, PLUM, INDIGO], AMBER)


class Feather(NamedTuple):
    """Root and direction (radians), length in pixels, width and bend as shares of it."""

    x: float
    y: float
    angle: float
    length: float
    width: float
    bend: float
    plumage: Plumage


class Plate:
    """RGB (H, W, 3) in 0..1 of what lies on top so far, and the noise that barbs stray by."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int]) -> None:
        self.rgb = np.broadcast_to(np.asarray(NIGHT, np.float32), (*shape, 3)).copy()
        self.stray = noise(rng, (1024, 1024), 26, 3)
        self.hair = noise(rng, (1024, 1024), 3.0, 2)

    def lay(self, rng: np.random.Generator, feather: Feather) -> None:
        """One feather over the others, with the shadow that it throws on them."""
        height, width = self.rgb.shape[:2]
        reach = 1.25 * feather.length
        top, bottom = np.clip([feather.y - reach, feather.y + reach], 0, height).astype(int)
        left, right = np.clip([feather.x - reach, feather.x + reach], 0, width).astype(int)
        if top >= bottom or left >= right:
            return
        window = (slice(top, bottom), slice(left, right))
        y, x = np.mgrid[window].astype(np.float32)
        along, side = local(feather, x, y)
        start = rng.integers(0, 1024, 2)
        row = (np.abs(side * feather.length).astype(np.int32) + start[0]) % 1024
        column = (np.clip(along, -1, 2) * feather.length).astype(np.int32) + start[1]
        stray, hair = self.stray[row, column % 1024], self.hair[row, column % 1024]
        half = profile(along, feather.width)
        # Barbs leave the shaft at an angle; here and there they have come apart.
        root = along - 0.62 * np.abs(side) + 0.012 * stray
        barb = root * feather.length / 5.5
        groove = 0.5 + 0.5 * np.cos(2 * np.pi * barb)
        torn = smoothstep(
            0.75, 1.0, np.sin(root * 23 + 5 * np.sign(side) + start[0]) + 0.35 * stray
        )
        edge = half * (1 - 0.22 * torn) + (0.005 * hair + 0.006 * groove) * (half > 0)
        share = np.abs(side) / np.maximum(edge, 1e-3)
        cover = smoothstep(1.0, 0.93, share) * (along > 0) * (edge > 0.002)
        self.shade(window, cover, feather)
        rgb = self.painted(feather, along, side, share, root, stray)
        light = 0.80 + 0.34 * groove + 0.10 * hair
        # A vane is vaulted: lit on one side of the shaft, in shadow along it on the other.
        vault = np.where(side > 0, 1.14 - 0.5 * share, 0.80 + 0.25 * share)
        rgb = rgb * (light * vault)[..., None]
        rgb = rgb + 0.10 * (np.clip(groove - 0.7, 0, 1) * smoothstep(0.2, 0.7, share))[..., None]
        thin = 0.013 * (1 - 0.85 * along)
        shaft = smoothstep(1.0, 0.4, np.abs(side) / np.maximum(thin, 1e-3)) * (along < 0.97)
        rgb = mix(
            rgb, np.asarray(feather.plumage.shaft) * (1.05 - 0.25 * (side > 0))[..., None], shaft
        )
        self.rgb[window] = mix(self.rgb[window], rgb, cover)

    def shade(self, window: tuple[slice, slice], cover: Array, feather: Feather) -> None:
        mask = Image.fromarray((cover * 255).astype(np.uint8))
        soft = mask.filter(ImageFilter.GaussianBlur(0.03 * feather.length))
        shadow = np.asarray(soft, np.float32) / 255
        away = max(int(0.03 * feather.length), 1)
        shadow = np.pad(shadow, ((away, 0), (away // 2, 0)))[: cover.shape[0], : cover.shape[1]]
        self.rgb[window] *= 1 - 0.62 * shadow[..., None]

    def painted(
        self, feather: Feather, along: Array, side: Array, share: Array, root: Array, stray: Array
    ) -> Array:
        plumage = feather.plumage
        rgb = ramp(plumage.vane, root * 0.95 + 0.08 + 0.03 * stray)
        bars = smoothstep(0.25, 0.75, np.sin(root * 46 + 0.6 * stray)) * smoothstep(
            0.25, 0.6, share
        )
        rgb = mix(rgb, rgb * np.float32(0.42), 0.75 * bars)
        if plumage.eye:
            centre = 0.77
            distance = np.hypot(along - centre, side * 1.25) / (0.95 * feather.width)
            rings = len(plumage.eye)
            place = np.clip(distance * rings / 1.02 + 0.10 * stray, 0, rings - 0.01)
            eye = np.asarray(plumage.eye, np.float32)[place.astype(np.int32)]
            eye = mix(eye, CREAM, 0.35 * smoothstep(0.88, 1.0, place % 1))
            rgb = mix(rgb, eye, smoothstep(1.05, 0.98, distance))
        return rgb


def local(feather: Feather, x: Array, y: Array) -> tuple[Array, Array]:
    """Along the bent shaft, 0..1, and across it, in the feather's length."""
    cos, sin = np.cos(feather.angle), np.sin(feather.angle)
    dx, dy = (x - feather.x) / feather.length, (y - feather.y) / feather.length
    along, side = dx * cos + dy * sin, dy * cos - dx * sin
    return along, side - feather.bend * along**2


def profile(along: Array, width: float) -> Array:
    """Half the width of a vane along its shaft: narrow below, widest past the middle, round tip."""
    t = np.clip(along, 0, 1)
    return width * t**0.55 * np.sqrt(np.clip(1 - t**5, 0, 1)) * (along < 1)


def flow(x: float, y: float) -> float:
    """Which way the plumage lies: a great sweep about a breast below the picture's left."""
    return float(np.arctan2(y + 250, x - 520) + 0.35 * np.sin(x / 230) + 0.25 * np.sin(y / 190 + 1))


def draw_feathers(rng: np.random.Generator) -> Array:
    shape = (1024, 1280)
    plate = Plate(rng, shape)
    breeds = [PEACOCK, PARROT, JAY, PHEASANT, DUSK]
    laid = []
    step = 78
    for row in range(-4, 21):
        for column in range(-4, 21):
            x = column * step + (row % 2) * step / 2 + rng.normal(0, 9)
            y = row * step * 0.78 + rng.normal(0, 9)
            laid.append((x, y))
    # From the tips' side to the roots' side, as tiles lie on a roof.
    laid.sort(key=lambda spot: -np.hypot(spot[0] - 520, spot[1] + 250))
    for x, y in laid:
        breed = breeds[int((np.hypot(x - 520, y + 250) + 40 * np.sin(x / 90)) / 175) % len(breeds)]
        if rng.uniform() < 0.12:
            breed = breeds[rng.integers(len(breeds))]
        angle = flow(x, y) + rng.normal(0, 0.10)
        length = rng.uniform(215, 300)
        feather = Feather(x, y, angle, length, rng.uniform(0.19, 0.25), rng.normal(0, 0.10), breed)
        plate.lay(rng, feather)
    return np.clip(plate.rgb, 0, 1) * (1 + 0.05 * noise(rng, shape, 240)[..., None])

"""Clips through a model: what is kept of them, what is told of them, and how they flicker."""

import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from fast_style import errors
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.model_folder.model import copy_model, read_model
from fast_style.pictures.images import Picture
from fast_style.pipeline import pipeline
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer

av = pytest.importorskip("av", reason="PyAV is an optional extra")
cv2 = pytest.importorskip("cv2", reason="OpenCV is an optional extra")

from fast_style.flicker import __main__ as flicker_command  # noqa: E402
from fast_style.flicker.warping_error import WarpingError  # noqa: E402
from fast_style.video import __main__ as command  # noqa: E402
from fast_style.video import opening, reading  # noqa: E402
from fast_style.video.live import Live  # noqa: E402
from fast_style.video.motion import Motion, MotionTracker, Smoother, motion_between  # noqa: E402
from fast_style.video.reading import Clip, Part  # noqa: E402
from fast_style.video.stylize_clip import stylize_clip  # noqa: E402
from fast_style.video.writing import writing  # noqa: E402

Photo = Callable[..., np.ndarray]
Sound = list[tuple[Fraction, bytes]]

CONSTANT = [512 * number for number in range(12)]
VARIABLE = [0, 300, 900, 1000, 2000, 2600, 4000, 4400, 5000, 5800, 6500, 9000]
TICK = Fraction(1, 12800)
RATE = 48000
CANDY = PROJECT / "pretrained" / "candy"
BETWEEN = 15  # grey levels from one frame to the next


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """A frame that tells its number by how bright it is; its left third is darker, its top red."""
    rgb = np.full((height, width, 3), 30 + BETWEEN * (number % 14), np.uint8)
    rgb[:, : width // 3] //= 2
    rgb[: height // 4, :, 1:] //= 4
    return rgb


def number_in(rgb: np.ndarray) -> int:
    height, width = rgb.shape[:2]
    inside = rgb[height // 2 : -4, width // 2 : -4]
    return round((inside.mean() - 30) / BETWEEN)


def make_clip(
    path: Path,
    *,
    times: list[int] = CONSTANT,
    width: int = 64,
    height: int = 48,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str | None = "aac",
    options: dict[str, str] | None = None,
    rotation: int | None = None,
    damaged: tuple[int, ...] = (),
    frame: Callable[[int, int, int], np.ndarray] = numbered,
    **look: Any,
) -> Path:
    """A clip with frames at `times` (in 12800ths of a second) and a tone as long as they are.

    damaged: of which packets, in the order of the file, all bytes are 0.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=25, options=options or {}, width=width, height=height, pix_fmt=pixels
        )
        stream.codec_context.time_base = TICK
        for key, value in look.items():
            setattr(stream.codec_context, key, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tone = container.add_stream(sound, rate=RATE, layout="mono") if sound else None
        pictures = []
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(frame(number, width, height), "rgb24")
            picture.pts, picture.time_base = time, TICK
            pictures += stream.encode(picture)
        pictures += stream.encode(None)
        packets = pictures + (
            tone_packets(tone, times[-1] * TICK + Fraction(1, 25)) if tone else []
        )
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    for number in damaged:
        overwrite(path, number, lambda data: bytes(len(data)))
    return path


def overwrite(path: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes that the file has for one of its video packets."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        data = bytes(packets[number])
    whole = path.read_bytes()
    assert whole.count(data) == 1
    path.write_bytes(whole.replace(data, change(data)))


def tone_packets(stream: Any, seconds: Fraction) -> list[Any]:
    packets = []
    for first in range(0, int(seconds * RATE), 1024):
        wave = np.sin(np.arange(first, first + 1024) / 20).astype(np.float32) / 3
        kind = stream.codec_context.format.name
        samples = wave if kind.startswith("flt") else (wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def frames_of(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        frames = list(container.decode(video=0))
    return [(frame.pts * base, frame.to_ndarray(format="rgb24")) for frame in frames]


def times_of(path: Path) -> list[Fraction]:
    return [time for time, _ in frames_of(path)]


def sound_of(path: Path) -> Sound:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


UNCHANGED, PRESERVING = Stylization(strength=0), Stylization(preserve_color=True)


def run(
    model: Path, clip: Path, output: Path, how: Stylization = UNCHANGED, **settings: Any
) -> Path:
    """The clip through the model, which changes nothing unless something else is asked for."""
    stylize_clip(str(model), str(clip), output, how, **settings)
    return output


def copy(clip: Path, output: Path, **how: Any) -> Path:
    """The clip read and written again, without a network between."""
    with Clip(str(clip), **how) as read, writing(output, read) as writer:
        for part in read:
            writer.write(replace(part, stylized=part.content))
    return output


def complaint(model: Path, clip: Path, output: Path, **how: Any) -> str:
    """The error, after which there is nothing that was not there before."""
    before = sorted(clip.parent.iterdir())
    with pytest.raises(UserError) as error:
        run(model, clip, output, **how)
    assert "\n" not in str(error.value)
    assert sorted(clip.parent.iterdir()) == before
    return str(error.value)


# What is kept


@pytest.mark.parametrize("times", [CONSTANT, VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_frames_their_times_and_the_sound_stay(
    tmp_path: Path, times: list[int], ending: str
) -> None:
    clip = make_clip(tmp_path / f"in{ending}", times=times)
    output = copy(clip, tmp_path / f"out{ending}")
    before, after = frames_of(clip), frames_of(output)
    assert [time for time, _ in after] == [time for time, _ in before]
    assert len(after) == len(times)
    assert [number_in(rgb) for _, rgb in after] == list(range(12))
    assert (
        max(np.abs(a[1].astype(int) - b[1]).mean() for a, b in zip(after, before, strict=True)) < 3
    )
    assert sound_of(output) == sound_of(clip) and len(sound_of(clip)) > 20
    with av.open(str(clip)) as one, av.open(str(output)) as other:
        if times is CONSTANT:
            assert other.streams.video[0].average_rate == one.streams.video[0].average_rate == 25
        assert other.duration == one.duration
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in{ending}", f"out{ending}"]


def test_a_clip_of_another_container_keeps_its_times(tmp_path: Path) -> None:
    # MPEG-TS begins after 0, and has AAC in packets with headers, which MP4 has once.
    clip = make_clip(tmp_path / "in.ts")
    output = copy(clip, tmp_path / "out.mp4")
    assert times_of(output) == [Fraction(number, 25) + times_of(output)[0] for number in range(12)]
    apart = times_of(clip)[0] - sound_of(clip)[0][0]
    assert abs(times_of(output)[0] - sound_of(output)[0][0] - apart) < 1e-3
    assert [data for _, data in sound_of(output)] == [data[7:] for _, data in sound_of(clip)]


def test_the_stylized_frames_are_the_networks(
    trained_model: Path, tmp_path: Path, photo: Photo
) -> None:
    clip = make_clip(
        tmp_path / "in.mp4",
        times=VARIABLE[:3],
        rotation=90,
        frame=lambda n, w, h: photo(h, w, seed=n),
    )
    output = run(trained_model, clip, tmp_path / "out.mkv", PRESERVING)
    stylizer = Stylizer(trained_model)
    assert sound_of(output)[0][1] == sound_of(clip)[0][1]
    for (_, content), (_, found) in zip(frames_of(clip), frames_of(output), strict=True):
        upright = Picture(np.ascontiguousarray(np.rot90(content)))
        expected = np.rot90(stylizer.stylize(upright, PRESERVING).rgb, -1)
        # Half the chroma, and H.264, stand between.
        off = np.abs(found.astype(int) - expected).mean()
        assert off < 8 < np.abs(content.astype(int) - expected).mean()


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_clip_is_stylized_upright_and_stays_turned(tmp_path: Path, rotation: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", rotation=rotation, times=CONSTANT[:2])
    upright = np.rot90(frames_of(clip)[0][1], rotation // 90)
    with Clip(str(clip)) as read:
        content = next(part.content for part in read if part.content is not None)
    assert np.abs(content.astype(int) - upright).max() <= 2
    output = copy(clip, tmp_path / "out.mp4")
    with av.open(str(output)) as container:
        frame = next(container.decode(video=0))
    assert abs(frame.rotation) == 180 if rotation == 180 else frame.rotation == rotation
    assert (frame.width, frame.height) == (64, 48)
    stored = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(stored - frames_of(clip)[0][1]).mean() < 3


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_odd_sizes_stay_and_it_is_said_where_few_players_show_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    clip = make_clip(
        tmp_path / "in.mkv", width=65, height=47, pixels="yuv444p", sound="libopus", times=[0, 512]
    )
    with caplog.at_level(logging.WARNING, logger="absl"):
        output = copy(clip, tmp_path / f"out{ending}")
    for (_, content), (_, rgb) in zip(frames_of(clip), frames_of(output), strict=True):
        assert rgb.shape == (47, 65, 3)
        assert np.abs(rgb.astype(int) - content)[:, -1].mean() < 6  # the last column is there
    assert ("odd sizes (65 x 47) only in 4:4:4" in caplog.text) == (ending == ".mp4")


def test_max_size_gives_even_sizes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", times=[0])
    output = copy(clip, tmp_path / "out.mp4", max_size=41)
    assert frames_of(output)[0][1].shape == (30, 40, 3)
    assert frames_of(copy(clip, output, max_size=64))[0][1].shape == (48, 64, 3)


@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colours_and_the_shape_of_pixels_stay(tmp_path: Path, matrix: int) -> None:
    clip = make_clip(
        tmp_path / "in.mp4",
        times=[0],
        frame=lambda n, w, h: np.full((h, w, 3), (220, 60, 30), np.uint8),
        colorspace=matrix,
        color_primaries=matrix,
        color_trc=1,
        sample_aspect_ratio=Fraction(4, 3),
    )
    output = copy(clip, tmp_path / "out.mp4")
    looks = []
    for path in (clip, output):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            aspect = container.streams.video[0].sample_aspect_ratio
            looks.append((frame.colorspace, frame.color_primaries, frame.color_trc, aspect))
    assert looks[0] == looks[1] == (matrix, matrix, 1, Fraction(4, 3))
    assert np.abs(frames_of(output)[0][1].astype(int) - frames_of(clip)[0][1]).max() <= 3


def test_what_is_lost_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deep = make_clip(tmp_path / "deep.mkv", times=[0], pixels="yuv420p10le")
    fields = make_clip(tmp_path / "fields.mkv", times=[0], options={"flags": "+ilme+ildct"})
    with caplog.at_level(logging.WARNING, logger="absl"):
        copy(deep, tmp_path / "out.mkv")
        copy(fields, tmp_path / "out.mkv")
    assert "deep.mkv: has 10 bits a channel; the stylized clip has 8" in caplog.text
    assert "fields.mkv: is interlaced; stylized frames have both fields in one" in caplog.text


def test_alpha_beside_the_frames_is_told_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_clip(tmp_path / "whole.webm", times=[0], codec="libvpx-vp9", sound=None)
    seen = make_clip(
        tmp_path / "alpha.webm", times=[0], codec="libvpx-vp9", pixels="yuva420p", sound=None
    )
    with caplog.at_level(logging.WARNING, logger="absl"):
        copy(whole, tmp_path / "out.mkv")
        assert "alpha" not in caplog.text
        copy(seen, tmp_path / "out.mkv")
    assert "alpha.webm: has an alpha channel; the stylized clip has none" in caplog.text


# Animations


DURATIONS = [40, 120, 250, 30, 400]  # milliseconds


def make_animation(path: Path, loop: int | None, has_alpha: bool = False) -> list[np.ndarray]:
    rgb = [numbered(number, 64, 48) for number in range(len(DURATIONS))]
    frames = [Image.fromarray(frame) for frame in rgb]
    if has_alpha:
        for frame in frames:
            frame.putalpha(200)
    options: dict[str, Any] = {} if loop is None else {"loop": loop}
    if path.suffix == ".webp":
        options["lossless"] = True
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=DURATIONS, disposal=2, **options
    )
    return rgb


def animation_in(path: Path) -> tuple[list[np.ndarray], list[int], int | None]:
    """Frames, their durations in milliseconds, and how often it plays, as Pillow has it."""
    frames, durations = [], []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            durations.append(int(image.info["duration"]))
            frames.append(np.asarray(image.convert("RGB")))
        return frames, durations, image.info.get("loop")


@pytest.mark.parametrize("loop", [0, 3])
@pytest.mark.parametrize("target", [".gif", ".webp"])
@pytest.mark.parametrize("source", [".gif", ".webp"])
def test_an_animation_keeps_its_frames_their_times_and_its_loop(
    tmp_path: Path, source: str, target: str, loop: int
) -> None:
    rgb = make_animation(tmp_path / f"in{source}", loop)
    frames, durations, plays = animation_in(copy(tmp_path / f"in{source}", tmp_path / f"x{target}"))
    assert (durations, plays) == (DURATIONS, loop)
    for number, (frame, expected) in enumerate(zip(frames, rgb, strict=True)):
        assert frame.shape == expected.shape and number_in(frame) == number
        assert np.abs(frame.astype(int) - expected).mean() < 12


def test_an_animation_that_plays_once_does_so(tmp_path: Path) -> None:
    make_animation(tmp_path / "in.gif", None)
    assert animation_in(copy(tmp_path / "in.gif", tmp_path / "x.gif"))[2] is None
    assert animation_in(copy(tmp_path / "in.gif", tmp_path / "x.webp"))[2] == 1


def test_an_animation_becomes_a_clip_and_a_clip_an_animation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_animation(tmp_path / "in.webp", 0, has_alpha=True)
    with caplog.at_level(logging.WARNING, logger="absl"):
        times = times_of(copy(tmp_path / "in.webp", tmp_path / "x.mp4"))
        begins = [Fraction(sum(DURATIONS[:number]), 1000) for number in range(len(DURATIONS))]
        assert times == pytest.approx(begins, abs=1e-3)
        assert "in.webp: has an alpha channel" in caplog.text
        clip = make_clip(tmp_path / "in.mp4", times=VARIABLE)
        frames, durations, loop = animation_in(copy(clip, tmp_path / "x.webp"))
    assert "WebP has neither sound nor subtitles; those of" in caplog.text and loop == 0
    begins = [round(1000 * float(time * TICK)) for time in VARIABLE]
    shown = [
        begin for begin, before in zip(begins, [-99, *begins], strict=False) if begin - before > 8
    ]
    assert len(frames) == len(shown)
    assert np.abs(np.cumsum([0, *durations[:-1]]) - shown).max() <= 1


def test_the_alpha_of_a_gif_is_told_where_something_is_transparent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_animation(tmp_path / "opaque.gif", 0)
    Image.new("P", (64, 48), 1).save(tmp_path / "seen.gif", transparency=1)
    with caplog.at_level(logging.WARNING, logger="absl"):
        copy(tmp_path / "opaque.gif", tmp_path / "x.webp")
        assert "alpha" not in caplog.text
        copy(tmp_path / "seen.gif", tmp_path / "x.webp")
    assert "seen.gif: has an alpha channel; the stylized clip has none" in caplog.text


def test_a_gif_shows_no_more_than_50_frames_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_clip(tmp_path / "in.mp4", times=[128 * number for number in range(20)])  # 100
    with caplog.at_level(logging.WARNING, logger="absl"):
        frames, durations, _ = animation_in(copy(clip, tmp_path / "x.gif"))
    assert len(frames) == 10 and set(durations) == {20}
    assert "10 frames are left out, as browsers show no GIF faster than 50 a second" in caplog.text


def test_a_damaged_webp_is_told(tmp_path: Path) -> None:
    make_animation(tmp_path / "in.webp", 0)
    data = (tmp_path / "in.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut\.webp: cannot be read as a clip"):
        copy(tmp_path / "cut.webp", tmp_path / "x.webp")
    assert not (tmp_path / "x.webp").exists()


def test_sound_without_pictures_does_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    monkeypatch.setattr(reading, "MOST_PACKETS", 2)
    assert sound_of(copy(clip, tmp_path / "out.mp4")) == sound_of(clip)
    with Clip(str(clip)) as read:
        assert max(len(part.packets) for part in read) <= 2


def test_subtitles_are_copied_or_told_to_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = tmp_path / "in.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=48)
        words = container.add_mux_stream("subrip")
        words.metadata["language"] = "deu"
        frame = av.VideoFrame.from_ndarray(numbered(0, 64, 48), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        line = av.Packet(b"Guten Tag")
        line.pts, line.dts, line.duration, line.time_base = 0, 0, 40, Fraction(1, 1000)
        line.stream = words
        container.mux(line)
    output = copy(clip, tmp_path / "out.mkv")
    with av.open(str(output)) as container:
        found = container.streams.subtitles[0]
        assert found.language == "deu"
        assert [bytes(p) for p in container.demux(found) if p.size] == [b"Guten Tag"]
    with caplog.at_level(logging.WARNING, logger="absl"):
        copy(clip, tmp_path / "out.mp4")
    assert re.search(r"in\.mkv: stream 1 \(subtitle, \w+\) is left out", caplog.text)


# Parts


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(("start", "end"), [("0.5", "1.2"), ("0.5", None), ("0", "0.9")])
def test_a_part_has_the_frames_and_the_sound_of_its_time(
    tmp_path: Path, ending: str, start: str, end: str | None
) -> None:
    clip = make_clip(
        tmp_path / f"in{ending}", times=[512 * n for n in range(40)], options={"g": "15"}
    )
    first, last = Fraction(start), Fraction(end or 1000)
    output = copy(
        clip,
        tmp_path / f"out{ending.replace('.ts', '.mp4')}",
        start=first,
        end=None if end is None else last,
    )
    with av.open(str(clip)) as container:
        began = Fraction(max(0, container.start_time), av.time_base)

    def inside(times: list[Fraction]) -> list[float]:
        from_zero = [time - began for time in times]
        wanted = [t for t in from_zero if (t >= first or first == 0) and t < last]
        return [float(time - first) for time in wanted]

    before = frames_of(clip)
    found = frames_of(output)
    assert [float(t) for t, _ in found] == pytest.approx(inside([t for t, _ in before]), abs=2e-3)
    numbers = [number_in(rgb) for _, rgb in found]
    expected = [number_in(rgb) for time, rgb in before if first <= time - began < last]
    assert numbers == expected and len(numbers) > 5
    sound = sound_of(output)
    assert [float(t) for t, _ in sound] == pytest.approx(
        inside([t for t, _ in sound_of(clip)]), abs=2e-3
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("0:01:30.5", Fraction(181, 2)), ("0", 0), ("1:00:00", 3600)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: Fraction) -> None:
    assert command.seconds(text) == seconds


# What is broken


@pytest.mark.parametrize(
    ("codec", "pixels", "shown"),
    [
        ("libx264", "yuv420p", {5: 4}),  # which passes it over in silence
        ("mpeg4", "yuv420p", {5: 4, 6: 4}),
        ("mjpeg", "yuvj420p", {3: 2, 11: 10}),
        ("mjpeg", "yuvj420p", {0: 2, 1: 2}),
    ],
)
def test_a_broken_frame_is_the_one_before_it_again(
    tmp_path: Path, codec: str, pixels: str, shown: dict[int, int]
) -> None:
    # Without frames that are stored in another order than they are shown in.
    clip = make_clip(
        tmp_path / "in.mp4",
        codec=codec,
        pixels=pixels,
        damaged=tuple(shown),
        options={"bf": "0"},
    )
    with Clip(str(clip)) as read:
        contents = [part.content for part in read if part.content is not None]
        assert read.broken == len(shown)
    assert len(contents) == 12
    for number, instead in shown.items():
        np.testing.assert_array_equal(contents[number], contents[instead])
        assert number_in(contents[instead]) == instead
    output = copy(clip, tmp_path / "out.mp4")
    whole = make_clip(tmp_path / "whole.mp4")
    assert times_of(output) == times_of(whole)
    assert sound_of(output) == sound_of(whole)


def test_broken_frames_are_counted_at_the_end(
    trained_model: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = make_clip(tmp_path / "in.mp4", codec="mpeg4", damaged=(2, 3), times=CONSTANT[:5])
    with caplog.at_level(logging.WARNING, logger="absl"):
        run(trained_model, clip, tmp_path / "new" / "out.mp4")
    assert "in.mp4: 2 broken frames; each is replaced by the frame before it" in caplog.text
    assert "out.mp4  64x48  5 frames" in capsys.readouterr().out


def test_a_frame_that_is_for_reference_alone_is_not_broken(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.webm", codec="libvpx", sound=None)
    overwrite(clip, 6, lambda data: bytes([data[0] & ~0x10]) + data[1:])
    with Clip(str(clip)) as read:
        assert sum(part.content is not None for part in read) == 11
        assert read.broken == 0


def test_a_clip_that_is_cut_short_gives_what_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, photo: Photo
) -> None:
    clip = make_clip(
        tmp_path / "long.mp4",
        times=[1280 * number for number in range(40)],
        frame=lambda number, width, height: photo(height, width, seed=number),
        codec="mpeg4",
    )
    # Its index in front, as files for the web have it.
    front = copy(clip, tmp_path / "front.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(front.read_bytes()[: front.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, logger="absl"):
        output = copy(cut, tmp_path / "out.mp4")
    assert re.search(r"cut\.mp4: ends after \d\.\d+ s of the 4\.00 s", caplog.text)
    assert 5 < len(frames_of(output)) < 35
    assert times_of(output) == times_of(front)[: len(frames_of(output))]


def test_frames_of_another_size_are_brought_to_that_of_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = tmp_path / "in.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, width=64, height=48, pix_fmt="yuvj420p")
        for number, (width, height) in enumerate([(64, 48), (32, 40), (64, 48)]):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(numbered(number, width, height), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in encoder.encode(frame) + encoder.encode(None):
                packet.stream = stream
                container.mux(packet)
    with caplog.at_level(logging.WARNING, logger="absl"):
        output = copy(clip, tmp_path / "out.mkv")
    assert [number_in(rgb) for _, rgb in frames_of(output)] == [0, 1, 2]
    assert {rgb.shape for _, rgb in frames_of(output)} == {(48, 64, 3)}
    assert "also has frames of 32 x 40 pixels" in caplog.text


# What cannot be


def test_the_clip_itself_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", times=[0])
    before = clip.read_bytes()
    (tmp_path / "same.mp4").symlink_to(clip)
    for output in (clip, tmp_path / "same.mp4"):
        assert "would replace" in complaint(CANDY, clip, output) and clip.read_bytes() == before
    pytest.importorskip("openvino", reason="OpenVINO is an optional extra")
    run(CANDY, clip, clip, overwrite=True, runtime="openvino")
    assert len(frames_of(clip)) == 1 and clip.read_bytes() != before


def test_what_is_no_clip_is_named(trained_model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no clip")
    make_clip(tmp_path / "whole.mkv", sound="aac", times=[0])
    with av.open(str(tmp_path / "tone.m4a"), "w", format="mp4") as container:
        tone = container.add_stream("aac", rate=RATE, layout="mono")
        container.mux(tone_packets(tone, Fraction(1, 5)))
    make_clip(tmp_path / "broken.mkv", damaged=tuple(range(12)))
    for name, reason in {
        "notes.mp4": "notes.mp4: cannot be read as a clip: invalid data",
        "absent.mp4": "absent.mp4: cannot be read as a clip: no such file",
        ".": "cannot be read as a clip: is a directory",
        "tone.m4a": "tone.m4a: has no video stream",
        "broken.mkv": "broken.mkv: has no frame that can be decoded",
    }.items():
        assert reason in complaint(trained_model, tmp_path / name, tmp_path / "out.mp4")


def test_an_output_that_cannot_be_is_told_before_any_work(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    assert "no such model folder" in complaint(tmp_path / "absent", clip, tmp_path / "out.mp4")

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Stylizer, "__init__", never)
    (tmp_path / "folder.mp4").mkdir()
    with av.open(str(tmp_path / "pcm.avi"), "w") as container:  # does not say which speakers
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48)
        silence = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        frame = av.VideoFrame.from_ndarray(numbered(0, 64, 48), "rgb24")
        container.mux(stream.encode(frame) + stream.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 3840), np.int16), "s16", "stereo")
        samples.sample_rate = RATE
        container.mux(silence.encode(samples))
    assert re.search(
        r"MP4 cannot hold the sound of .*pcm\.avi \(pcm_s16le\) as it is; Matroska \(\.mkv\) holds",
        complaint(trained_model, tmp_path / "pcm.avi", tmp_path / "out.mp4"),
    )
    for name, reason in {
        "out.txt": "--output .*out.txt: is not a clip's name; one of: .mp4, .m4v",
        "out.mp3": "is not a clip's name; did you mean '.mp4'",
        "out.webm": r"WebM cannot hold the sound of .*in\.mp4 \(aac\) as it is; Matroska",
        "folder.mp4": "folder.mp4: is a folder",
    }.items():
        assert re.search(reason, complaint(trained_model, clip, tmp_path / name))
    found = complaint(trained_model, clip, tmp_path / "out.mp4", start=Fraction(9))
    assert re.search(r"there is no frame between them in .*in\.mp4, which is 0\.\d+ s long", found)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--start", "1:00", "--end", "60"], "--end 60: is not after --start 60"),
        (["--start", "soon"], "'soon' is not a time in seconds or as HH:MM:SS"),
        (["--smooth", "2"], "2 is not between 0 and 1"),
    ],
)
def test_wrong_flags_are_told(
    flags: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = ["--model", "m", "--input", "i.mp4", "--output", "o.mp4"]
    monkeypatch.setattr(sys, "argv", ["video", *needed, *flags])
    with pytest.raises(UserError) as error:
        command.main()
    assert reason in str(error.value)


def test_help_comes_without_tensorflow_and_pyav_and_names_every_flag() -> None:
    program = """
import runpy, sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["av"] = sys.modules["cv2"] = None
sys.argv = ["video", "--help"]
runpy.run_module("fast_style.video", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    for flag in (
        *("--model", "--input", "--output", "--style", "--strength", "--preserve-color"),
        *(
            "--max-size",
            "--scale",
            "--smooth",
            "--start",
            "--end",
            "--live",
            "--runtime",
            "--precision",
        ),
    ):
        assert flag in done.stdout


def test_a_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "cv2" else name)
    needed = ["--model", "m", "--input", "i.mp4", "--output", "o.mp4", "--smooth", "0.5"]
    monkeypatch.setattr(sys, "argv", ["video", *needed])
    with pytest.raises(UserError, match=r"need opencv-python-headless: pip install 'fast-style\["):
        command.main()
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["video", *needed[:-2]])
    with pytest.raises(UserError, match=r"videos need av: pip install 'fast-style\[video\]'"):
        command.main()


def test_without_a_camera_the_device_is_named(trained_model: Path, tmp_path: Path) -> None:
    found = complaint(trained_model, Path("/dev/video77"), tmp_path / "out.mp4")
    assert found.startswith("/dev/video77: cannot be read as a camera: no such file")


# Ctrl-C


def test_ctrl_c_leaves_a_file_of_what_was_done(trained_model: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", times=[512 * number for number in range(2000)])
    flags = ["--model", trained_model, "--input", clip, "--output", tmp_path / "out.mp4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fast_style.video", *map(str, flags), "--strength", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that starts it in the background would have it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    told = b""
    while not re.search(rb" [1-9]\d+/2000 ", told):
        byte = os.read(process.stderr.fileno(), 100)
        assert byte, told.decode()
        told += byte
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in err
    found = re.search(r"stopped: .*out\.mp4 has the first (\d+\.\d\d) s", out.decode())
    assert found
    done = frames_of(tmp_path / "out.mp4")
    assert 0 < len(done) < 2000 and float(done[-1][0]) == pytest.approx(float(found[1]), abs=0.01)
    sound = sound_of(tmp_path / "out.mp4")
    assert sound == sound_of(clip)[: len(sound)] and abs(sound[-1][0] - done[-1][0]) < 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_a_camera_is_read_until_ctrl_c(
    trained_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, opened = "testsrc=size=64x48:rate=25", av.open  # without an end

    def with_a_camera(name: str, *mode: str, **how: Any) -> Any:
        if name == opening.WEBCAM:
            return opened(source, format="lavfi")
        return opened(name, *mode, **how)

    monkeypatch.setattr(av, "open", with_a_camera)
    stylize, seen = Stylizer.stylize, []

    def pressed_in_the_fifth(self: Stylizer, *args: Any, **how: Any) -> Any:
        seen.append(None)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)
        return stylize(self, *args, **how)

    monkeypatch.setattr(Stylizer, "stylize", pressed_in_the_fifth)
    stylize_clip(str(trained_model), "webcam", tmp_path / "out.mkv")
    times = times_of(tmp_path / "out.mkv")
    assert 3 <= len(times) <= 6
    assert times == sorted(set(times))
    assert re.search(r"^[\d.]+ frames/s, \d+ frames dropped$", capsys.readouterr().out, re.M)


# Live


class Camera:
    """Gives one frame, four more when the first has been taken, and then fails."""

    is_camera = True

    def __init__(self) -> None:
        self.taken, self.all_there = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Part]:
        yield part_of(0)
        assert self.taken.wait(60)
        yield from (part_of(1), part_of(2), Part([av.Packet(b"sound")]), part_of(3), part_of(4))
        self.all_there.set()
        raise UserError("unplugged")


def part_of(number: int) -> Part:
    return Part([av.Packet(bytes([number]))], numbered(number, 64, 48))


def test_live_frames_are_dropped_and_never_wait() -> None:
    camera = Camera()
    with Live(cast(Clip, camera)) as live:
        coming = iter(live)
        assert number_in(next(coming).content) == 0
        camera.taken.set()
        assert camera.all_there.wait(60)
        newest = next(coming)
        assert number_in(newest.content) == 4
        assert [bytes(packet) for packet in newest.packets] == [
            b"\1",
            b"\2",
            b"sound",
            b"\3",
            b"\4",
        ]
        assert (live.taken, live.dropped) == (2, 3)
        with pytest.raises(UserError, match="unplugged"):
            next(coming)


def test_leaving_does_not_wait_for_the_next_frame(tmp_path: Path) -> None:
    hour = make_clip(tmp_path / "in.mkv", times=[0, 12800 * 3600], sound=None)
    with Clip(str(hour), live=True) as clip:
        live = Live(clip)
        with pipeline(live) as parts, live:
            assert number_in(next(parts).content) == 0


def test_a_clip_is_played_live_with_its_times_and_its_sound(
    trained_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = make_clip(tmp_path / "in.mkv", times=VARIABLE)
    shown = Stylizer.stylize

    def slowly(self: Stylizer, *args: Any, **how: Any) -> Any:
        time.sleep(0.15)  # three or four frames
        return shown(self, *args, **how)

    monkeypatch.setattr(Stylizer, "stylize", slowly)
    flags = ["--model", str(trained_model), "--input", str(clip), "--strength", "0", "--live"]
    monkeypatch.setattr(sys, "argv", ["video", *flags, "--output", str(tmp_path / "out.mkv")])
    started = time.monotonic()
    command.main()
    assert time.monotonic() - started >= VARIABLE[-1] * TICK  # as long as it plays
    written = frames_of(tmp_path / "out.mkv")
    by_time = {at: number_in(rgb) for at, rgb in frames_of(clip)}
    assert [number_in(rgb) for _, rgb in written] == [by_time[at] for at, _ in written]
    assert number_in(written[-1][1]) == 11 and len(written) < 12
    assert sound_of(tmp_path / "out.mkv") == sound_of(clip)
    said = re.search(r"^([\d.]+) frames/s, (\d+) frames dropped$", capsys.readouterr().out, re.M)
    assert said and len(written) + int(said[2]) == 12 and 0 < float(said[1]) < 7


def to_stdout(model: Path, clip: Path, *flags: str) -> subprocess.Popen[bytes]:
    needed = ["--model", str(model), "--input", str(clip), "--strength", "0", "--output", "-"]
    return subprocess.Popen(
        [sys.executable, "-m", "fast_style.video", *needed, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_player_gets_the_clip_from_stdout(trained_model: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv")
    stream, said = to_stdout(trained_model, clip, "--live").communicate(timeout=60)
    assert re.search(rb"^[\d.]+ frames/s, \d+ frames dropped$", said, re.M)
    (tmp_path / "out.mkv").write_bytes(stream)
    assert set(times_of(tmp_path / "out.mkv")) <= set(times_of(clip))
    assert number_in(frames_of(tmp_path / "out.mkv")[-1][1]) == 11
    assert sound_of(tmp_path / "out.mkv") == sound_of(clip)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


def test_every_frame_is_on_stdout_at_once(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    clip = make_clip(tmp_path / "in.mkv", sound=None)
    sizes = []
    with Clip(str(clip), live=True) as read, writing(Path("-"), read) as writer:
        for part in read:
            if part.content is not None:
                writer.write(replace(part, stylized=part.content))
                sizes.append(len(capfdbinary.readouterr().out))
    assert len(sizes) == 12 and all(sizes[1:])  # of a frame, that it has ended is known by the next


def test_a_terminal_is_no_player(
    trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mkv", times=[0])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    said = complaint(trained_model, clip, Path("-"))
    assert said == "--output -: is this terminal; add a player, such as | ffplay -"


def test_it_ends_with_the_player(trained_model: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", times=[512 * number for number in range(2000)])
    process = to_stdout(trained_model, clip, "--live")
    assert process.stdout is not None and process.stderr is not None
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(60) == 0 and b"Traceback" not in said
    assert b"frames/s" in said and b"stopped" not in said


# Side by side


def test_stages_keep_the_order_and_little_at_once() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with pipeline(numbers(), lambda n: n + 100, lambda n: 2 * n) as results:
        for number, result in enumerate(results):
            assert result == 2 * (number + 100)
            assert len(made) <= number + 4
    assert len(made) == 50


def test_a_stage_that_fails_ends_all_of_them() -> None:
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    def failing(number: int) -> int:
        if number == 3:
            raise UserError("three")
        return number

    source, results = numbers(), []
    with (
        pytest.raises(UserError, match="three"),
        pipeline(source, failing, lambda n: n) as done,
    ):
        results.extend(done)
    source.close()  # which fails while a thread is at work in it
    assert closed == [True]


def test_leaving_does_not_wait_for_the_pipelines_inside_of_a_stage() -> None:
    begun, strips = threading.Event(), []

    def in_strips(number: int) -> int:
        with pipeline(range(1_000_000 * number), lambda n: n) as inner:
            for strip in inner:
                strips.append(strip)
                begun.set()
        return number

    with pytest.raises(KeyboardInterrupt), pipeline(range(3), in_strips) as results:
        assert next(results) == 0
        assert begun.wait(60)
        raise KeyboardInterrupt
    assert len(strips) < 1_000_000


# Flicker


def moving(texture: np.ndarray, number: int, height: int = 64, width: int = 96) -> np.ndarray:
    """A part of a picture that moves by 2 pixels across and 1 down from frame to frame."""
    down, across = number, 2 * number
    return np.ascontiguousarray(texture[down : down + height, across : across + width])


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """(100, 150, 3) uint8, with edges at all scales and places, as optical flow needs them."""
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (100, 150, 3), np.uint8), (0, 0), 2.0)


def test_motion_is_found_and_what_enters_the_frame_is_unseen(texture: np.ndarray) -> None:
    before, frame = moving(texture, 0), moving(texture, 1)
    motion = motion_between(before, frame)
    down, across = np.mgrid[:64, :96]
    inside = motion.seen[4:-4, 4:-4]
    assert inside.mean() > 0.9
    flow = motion.origins - np.stack([across, down], axis=-1)
    assert np.abs(flow[4:-4, 4:-4][inside] - (2, 1)).max() < 0.2
    assert not motion.seen[-1].any() and not motion.seen[:, -2:].any()
    off = np.abs(motion.warped(before.astype(np.float32)) - frame)
    assert off[4:-4, 4:-4][inside].mean() < 1


def test_what_was_hidden_is_unseen(texture: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    patch = cv2.GaussianBlur(rng.integers(0, 256, (30, 30, 3), np.uint8), (0, 0), 1.0)
    frames = []
    for left in (30, 42):
        frame = texture[:64, :96].copy()
        frame[15:45, left : left + 30] = patch
        frames.append(frame)
    motion = motion_between(*frames)
    uncovered = motion.seen[17:43, 32:40] * motion.likeness[17:43, 32:40]
    assert uncovered.mean() < 0.1 < 0.8 < motion.seen[48:62, 4:92].mean()


def test_over_a_cut_nothing_is_blended(texture: np.ndarray, photo: Photo) -> None:
    tracker, smoother = MotionTracker(), Smoother(0.9)
    smoother(np.zeros((64, 96, 3), np.uint8), tracker(moving(texture, 0)))
    white = np.full((64, 96, 3), 255, np.uint8)
    after = smoother(white, tracker(photo(64, 96, seed=3)))
    assert after.mean() > 250


def test_smoothing_lowers_the_flicker_of_known_motion(texture: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    noises = rng.normal(0, 20, (12, 64, 96, 3))
    flickering = [
        np.clip(moving(texture, n) + noise, 0, 255).astype(np.uint8)
        for n, noise in enumerate(noises)
    ]

    def smoothed(smooth: float) -> list[np.ndarray]:
        tracker, smoother = MotionTracker(), Smoother(smooth)
        return [smoother(f, tracker(moving(texture, n))) for n, f in enumerate(flickering)]

    def flicker(frames: list[np.ndarray]) -> float:
        """Of the known motion, without any optical flow, where it is inside of all frames."""
        pairs = itertools.pairwise(frames[4:])
        changes = [
            new[8:-9, 8:-10].astype(float) - old[9:-8, 10:-8].astype(float) for old, new in pairs
        ]
        return float(np.sqrt(np.mean(np.square(changes))))

    plain, half, most = (flicker(smoothed(smooth)) for smooth in (0.0, 0.5, 0.9))
    np.testing.assert_array_equal(smoothed(0.0), flickering)
    # Half of each new noise and half of all before it: a change of 1/3 in place of 2 variances.
    assert half / plain == pytest.approx(np.sqrt(1 / 6), rel=0.25)
    assert most < half / 2
    # Nor is it blurred, or left behind.
    last = smoothed(0.9)[-1].astype(float)
    truth = moving(texture, 11).astype(float)
    assert np.abs(last - truth)[8:-10, 8:-10].mean() < np.abs(flickering[-1] - truth).mean() / 2


def test_the_warping_error_is_numpys(texture: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (3, 64, 96, 3), np.uint8)
    down, across = np.mgrid[:64, :96].astype(np.float32)
    seen = rng.random((64, 96)) < 0.7
    seen[:, :3] = False
    motion = Motion(np.stack([across - 3, down], axis=-1), seen, np.ones((64, 96), np.float32))
    nothing = Motion(motion.origins, np.zeros_like(seen), motion.likeness)
    error = WarpingError()
    assert error.grey_levels == 0
    error.add(frames[0], None)
    error.add(frames[1], motion)
    error.add(frames[1], nothing)
    error.add(frames[2], motion)
    squares = []
    for old, new in ((frames[0], frames[1]), (frames[1], frames[2])):
        change = new[:, 3:].astype(float) - old[:, :-3].astype(float)
        squares.append(np.mean(change[seen[:, 3:]] ** 2))
    assert error.grey_levels == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)


def test_a_clip_too_small_for_optical_flow_is_told(trained_model: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", width=32, height=8)
    found = complaint(trained_model, clip, tmp_path / "out.mp4", smooth=0.5)
    assert "at least 12 pixels a side; this clip has 32 x 8" in found


def test_flicker_is_measured_plain_and_smoothed(
    trained_model: Path,
    tmp_path: Path,
    texture: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(4)

    def noisy(number: int, width: int, height: int) -> np.ndarray:
        noise = rng.normal(0, 4, (height, width, 3))
        return np.clip(moving(texture, number) + noise, 0, 255).astype(np.uint8)

    clip = make_clip(
        tmp_path / "in.mp4", times=CONSTANT[:6], width=96, height=64, frame=noisy, sound=None
    )
    folder = tmp_path / "other"
    folder.mkdir()
    copy_model(read_model(trained_model), folder)
    flags = ["--model", str(folder), "--clip", str(clip), "--smooth", "0.5", "0.9"]
    monkeypatch.setattr(sys, "argv", ["flicker", *flags])
    flicker_command.main()
    measured = json.loads((folder / "flicker.json").read_text())
    errors = measured["warping_error"]
    assert list(errors) == ["content", "plain", "smooth 0.5", "smooth 0.9"]
    assert errors["plain"] > errors["smooth 0.5"] > errors["smooth 0.9"] > 0
    assert measured["frames"] == 6 and measured["clip"] == "in.mp4"
    shown = capsys.readouterr().out.splitlines()
    assert "in.mp4: 6 frames, 96 x 64" in shown
    assert f"{errors['plain']:14.2f}  other" in shown
    smoothed = run(trained_model, clip, tmp_path / "out.mkv", Stylization(), smooth=0.9)
    plain = run(trained_model, clip, tmp_path / "plain.mkv", Stylization())

    def change(path: Path) -> float:
        frames = [rgb.astype(float) for _, rgb in frames_of(path)]
        pairs = itertools.pairwise(frames[2:])
        return float(np.mean([(n[8:-9, 8:-10] - o[9:-8, 10:-8]) ** 2 for o, n in pairs]))

    assert change(smoothed) < change(plain)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--clip", "in.mp4"], "the following arguments are required: --model"),
        (["--model", "m"], "the following arguments are required: --clip"),
        (["--model", "m", "--clip", "c", "--smooth", "2"], "--smooth: 2 is not between 0 and 1"),
        (["--model", "candy", "--clip", "c"], "c: cannot be read as a clip: no such file"),
    ],
)
def test_wrong_flags_of_flicker_are_named(
    flags: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["flicker", *flags])
    with pytest.raises(UserError) as error:
        flicker_command.main()
    assert reason in str(error.value)

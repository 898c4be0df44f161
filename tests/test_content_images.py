import io
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.pictures.images import Picture, decode_picture, encode_picture, write_picture
from fast_style.pictures.training_pictures import content_images
from fast_style.pictures.training_pictures.content_images import ContentImages
from fast_style.pictures.training_pictures.synthetic_images import synthetic_picture
from fast_style.pictures.training_pictures.textures import KINDS, textures


def nearly_flat(value: int) -> np.ndarray:
    """value at the left to value + 2 at the right."""
    return np.full((20, 30, 3), value, np.uint8) + np.arange(30, dtype=np.uint8)[:, None] // 10


def write_folder(folder: Path, count: int, broken: int = 0) -> Path:
    """Picture number i is 10 * i + 5 or a little more; the first `broken` ones are cut short."""
    for number in range(count):
        path = folder / f"sub{number % 2}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, Picture(nearly_flat(10 * number + 5)))
        if number < broken:
            path.write_bytes(path.read_bytes()[:50])
    return folder


def open_images(dataset: str | Path, **options: object) -> ContentImages:
    download = bool(options.pop("download", False))
    keys = {"image_size": 16, "batch_size": 3, "seed": 7, **options}
    config = Config(naming="images", dataset=str(dataset), **keys)  # type: ignore[arg-type]
    return ContentImages(config, download=download)


def numbers(batches: np.ndarray) -> list[int]:
    """Which of write_folder's pictures these are."""
    return ((batches[..., 0, 0, 0].astype(int) - 5) // 10).ravel().tolist()


# Order


def test_every_epoch_is_another_permutation(tmp_path: Path) -> None:
    images = open_images(write_folder(tmp_path, 12), batch_size=4)
    assert images.pictures_per_epoch == 12
    epochs = [numbers(np.stack([images.batch(3 * e + b) for b in range(3)])) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(12))
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_batches_may_straddle_epochs_and_exceed_them(tmp_path: Path) -> None:
    images = open_images(write_folder(tmp_path, 5), batch_size=12)
    order = numbers(np.stack([images.batch(step) for step in range(5)]))
    for epoch in np.array(order).reshape(12, 5):
        assert sorted(epoch) == list(range(5))


@pytest.mark.parametrize("crop", ["centre", "random"])
def test_batch_is_a_pure_function_of_seed_and_step(tmp_path: Path, crop: str) -> None:
    rng = np.random.default_rng(0)
    for number in range(7):
        rgb = rng.integers(0, 256, (40, 50, 3), np.uint8)
        write_picture(tmp_path / f"{number}.jpg", Picture(rgb))
    first = open_images(tmp_path, crop=crop, flip=True)
    expected = {step: first.batch(step) for step in (9, 2, 3, 4)}  # in any order
    second = open_images(tmp_path, crop=crop, flip=True)
    for start in (2, 3):
        for step, batch in zip(range(start, 5), second.batches(start), strict=False):
            np.testing.assert_array_equal(batch, expected[step])
    other_seed = open_images(tmp_path, crop=crop, flip=True, seed=8)
    assert not np.array_equal(other_seed.batch(2), expected[2])


def test_batches_can_be_left_at_any_time(tmp_path: Path) -> None:
    images = open_images(write_folder(tmp_path, 5))
    iterator: Iterator[np.ndarray] = images.batches(0)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("content-images")]


# Crops


def write_gradient(folder: Path) -> Path:
    """Red grows from left to right, green from top to bottom; twice as wide as high."""
    x, y = np.meshgrid(np.linspace(0, 255, 200), np.linspace(0, 255, 100))
    path = folder / "gradient.png"
    write_picture(path, Picture(np.dstack([x, y, 0 * x]).astype(np.uint8)))
    return path


def test_centre_crop_keeps_proportions(tmp_path: Path) -> None:
    image = open_images(write_gradient(tmp_path)).batch(0)[0].astype(int)
    red, green = image[..., 0].mean(0), image[..., 1].mean(1)
    assert red[0] == pytest.approx(64, abs=8) and red[-1] == pytest.approx(191, abs=8)
    assert green[0] == pytest.approx(4, abs=8) and green[-1] == pytest.approx(251, abs=8)


def test_random_crops_differ_and_are_nearly_as_large_as_the_picture(tmp_path: Path) -> None:
    images = open_images(write_gradient(tmp_path), crop="random", batch_size=40)
    batch = images.batch(0).astype(int)
    left, right = batch[:, 8, 0, 0], batch[:, 8, -1, 0]
    # A square of 80 to 100 of the 200 columns, seen by the middles of its first and last pixel.
    assert left.min() < 25 and right.max() > 230
    share = (right - left) / 255 * 16 / 15
    assert share.min() > 0.36 and share.max() < 0.54 and share.std() > 0.015
    assert (right > left).all()  # no mirroring unless asked for


def test_a_small_picture_is_enlarged_less(tmp_path: Path) -> None:
    for side in (24, 96):
        ramp = np.linspace(0, 255, side).round().astype(np.uint8)
        folder = tmp_path / str(side)
        folder.mkdir()
        write_picture(folder / "ramp.png", Picture(np.tile(ramp[:, None], (side, 1, 3))))
    config = Config(naming="images", dataset="", image_size=16, crop="random", flip=False)

    def seen(side: int, least_detail: float) -> float:
        """Returns the smallest part of the picture that is in a square."""
        images = ContentImages(
            replace(config, dataset=str(tmp_path / str(side))),
            largest_zoom=3.0,
            least_detail=least_detail,
        )
        return min(np.ptp(images.picture(slot)[8]) / 255 for slot in range(60))

    assert seen(24, 0.0) == pytest.approx(1 / 3, abs=0.06)
    assert seen(24, 0.75) == pytest.approx(1 / 2, abs=0.06)  # 12 of its pixels become 16
    assert seen(96, 0.75) == pytest.approx(1 / 3, abs=0.06)


def test_flip_mirrors_about_half(tmp_path: Path) -> None:
    batch = open_images(write_gradient(tmp_path), flip=True, batch_size=60).batch(0).astype(int)
    mirrored = batch[:, 8, 0, 0] > batch[:, 8, -1, 0]
    assert 15 < mirrored.sum() < 45


def test_transparent_pictures_lie_on_white(tmp_path: Path) -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[10:] = 255
    write_picture(tmp_path / "half_clear.png", Picture(nearly_flat(0), alpha))
    batch = open_images(tmp_path, image_size=20).batch(0)
    assert (batch[:, :10] == 255).all() and (batch[:, 10:] < 3).all()


def test_the_moved_view_is_a_part_with_noise_as_seed_and_step_say(tmp_path: Path) -> None:
    images = open_images("synthetic")
    content = np.stack([synthetic_picture(7, slot, 64) for slot in range(3)])
    shifts = set()
    for step in range(200):
        view, shift = images.moved_view(content, step)
        shifts.add(tuple(shift.tolist()))
        if step == 5:
            down, across = shift
            noise = view - content[:, down : down + 60, across : across + 60]
            inside = (view > 0) & (view < 255)
            assert noise[inside].std() == pytest.approx(2, rel=0.05)
            assert abs(noise[inside].mean()) < 0.1
            assert view.dtype == np.float32 and view.min() >= 0 and view.max() <= 255
    assert shifts == set(itertools.product(range(5), repeat=2))
    again, shift = open_images("synthetic").moved_view(content, 5)
    np.testing.assert_array_equal(again, images.moved_view(content, 5)[0])
    other, _ = open_images("synthetic", seed=8).moved_view(content, 5)
    assert (again != other).any()


# Broken files


@pytest.fixture
def warnings_logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(
        content_images.logging, "warning", lambda text, *values: messages.append(text % values)
    )
    return messages


def test_broken_files_are_replaced_counted_and_named_once(
    tmp_path: Path, warnings_logged: list[str]
) -> None:
    write_folder(tmp_path, 20, broken=2)
    images = open_images(tmp_path, batch_size=20)
    epoch = numbers(images.batch(0))
    assert set(range(2, 20)) <= set(epoch) and not {0, 1} & set(epoch)
    names = {str(tmp_path / "sub0" / "00.png"), str(tmp_path / "sub1" / "01.png")}
    assert set(images.broken) == names
    assert all("is damaged" in reason for reason in images.broken.values())
    images.batch(1)
    assert len(warnings_logged) == 2
    assert all(any(name in message for name in names) for message in warnings_logged)
    # The replacement does not depend on what was met before.
    np.testing.assert_array_equal(images.batch(5), open_images(tmp_path, batch_size=20).batch(5))


def test_one_broken_of_five_does_not_stop(tmp_path: Path) -> None:
    images = open_images(write_folder(tmp_path, 5, broken=1), batch_size=5)
    assert len(set(numbers(images.batch(0)))) == 4 and len(images.broken) == 1


def test_more_than_a_tenth_broken_stops(tmp_path: Path) -> None:
    images = open_images(write_folder(tmp_path, 20, broken=3), batch_size=5)
    with pytest.raises(UserError, match=r"of 20 pictures 3 .* more than a tenth"):
        list(itertools.islice(images.batches(0), 4))
    assert not [t for t in threading.enumerate() if t.name.startswith("content-images")]


def test_none_left_stops_again_and_again(tmp_path: Path) -> None:
    images = open_images(write_folder(tmp_path, 2, broken=2))
    for _ in range(2):
        with pytest.raises(UserError, match=r"of 2 pictures 2 .* all are broken"):
            images.batch(0)


@pytest.mark.parametrize("crop", ["centre", "random"])
def test_what_is_of_one_colour_is_left_out(tmp_path: Path, crop: str) -> None:
    write_folder(tmp_path, 3)
    half = np.zeros((16, 64, 3), np.uint8)  # most of its squares are black
    half[:, 60:] = 200
    write_picture(tmp_path / "half.png", Picture(half))
    write_picture(tmp_path / "flat.png", Picture(np.full((20, 20, 3), 77, np.uint8)))

    def seen() -> np.ndarray:
        images = open_images(tmp_path, crop=crop)
        found = np.stack([images.batch(step) for step in range(40)])
        assert images.broken == {}
        return found

    batches = seen().reshape(120, -1, 3)
    assert (batches != batches[:, :1]).any((1, 2)).all()
    assert (batches.max((1, 2)) > 100).any() == (crop == "random")  # half.png, where it is not
    np.testing.assert_array_equal(seen().reshape(120, -1, 3), batches)


def test_nothing_but_one_colour_is_refused_after_one_look_at_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []

    def decoded(data: bytes, name: str, **how: Any) -> Picture:
        looked_at.append(Path(name).name)
        return decode_picture(data, name, **how)

    monkeypatch.setattr(content_images, "decode_picture", decoded)
    names = [f"{number}.png" for number in range(3)]
    for name in names:
        write_picture(tmp_path / name, Picture(np.full((20, 20, 3), 77, np.uint8)))
    with pytest.raises(UserError, match=r"only squares of one colour, or nearly, .*0\.png"):
        open_images(tmp_path, batch_size=1).batch(0)
    assert sorted(looked_at) == names


@pytest.mark.parametrize("dataset", ["empty", "empty/*.jpg", "/no/such/folder", ""])
def test_no_pictures_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as error:
        open_images(dataset)
    assert dataset in str(error.value)


# TFDS


@pytest.fixture
def tfds(monkeypatch: pytest.MonkeyPatch):
    import tensorflow_datasets as tfds

    # No look-up of ready-made metadata over the network.
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)

    class TinyPictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0, 9), "test": self._generate_examples(9, 12)}

        def _generate_examples(self, first, last):
            for number in range(first, last):
                data = io.BytesIO(encode_picture(Picture(nearly_flat(10 * number + 5)), ".png"))
                yield number, {"image": data, "label": number % 2}

    tfds.TinyPictures = TinyPictures
    yield tfds
    del tfds.TinyPictures


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tfds_records_of_both_formats(tmp_path: Path, tfds, file_format: str) -> None:
    builder = tfds.TinyPictures(data_dir=tmp_path, file_format=file_format)
    builder.download_and_prepare()

    images = open_images("tiny_pictures", data_dir=str(tmp_path))
    assert images.pictures_per_epoch == 9
    epoch = np.stack([images.batch(step) for step in range(3)])
    assert sorted(numbers(epoch)) == list(range(9))
    np.testing.assert_array_equal(next(iter(images.batches(1))), epoch[1])

    parts = open_images("tiny_pictures:train[3:5]+test", data_dir=str(tmp_path), batch_size=5)
    # TFDS shuffles as it writes, so the test asks TFDS itself what those parts hold.
    if file_format == "array_record":
        examples = list(builder.as_data_source(split="train[3:5]+test"))
    else:
        examples = list(tfds.as_numpy(builder.as_dataset(split="train[3:5]+test")))
    expected = numbers(np.stack([example["image"] for example in examples]))
    assert len(expected) == 5 and sorted(numbers(parts.batch(0))) == sorted(expected)
    with pytest.raises(UserError, match="tiny_pictures:valid: "):
        open_images("tiny_pictures:valid", data_dir=str(tmp_path))


def test_a_damaged_tfrecord_is_a_broken_picture(
    tmp_path: Path, tfds, warnings_logged: list[str]
) -> None:
    tfds.TinyPictures(data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
    (shard,) = tmp_path.glob("**/*-train.tfrecord-*")
    shard.write_bytes(shard.read_bytes()[:-10])
    images = open_images("tiny_pictures", data_dir=str(tmp_path), batch_size=9)
    assert images.batch(0).shape == (9, 16, 16, 3)
    assert list(images.broken) == ["tiny_pictures:train[8]"]


def test_tfds_never_downloads_unasked(tmp_path: Path, tfds) -> None:
    with pytest.raises(UserError) as error:
        open_images("coco/2014", data_dir=str(tmp_path))
    for part in ("coco/2014", "40.3 GB", "--download", "data_dir", str(tmp_path), "synthetic"):
        assert part in str(error.value)
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="phtoos: there is no such folder"):
        open_images("phtoos", data_dir=str(tmp_path))


def test_download_prepares_for_random_access(
    tmp_path: Path, tfds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds, "builder", lambda name, **options: tfds.TinyPictures(**options))
    images = open_images("tiny_pictures", data_dir=str(tmp_path), download=True)
    assert images.pictures_per_epoch == 9
    assert list(tmp_path.glob("**/*-train.array_record-*"))


def test_tfds_sets_without_pictures_are_refused(
    tmp_path: Path, tfds, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = tfds.TinyPictures(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr(builder.info, "_features", {"text": tfds.features.Text()})
    monkeypatch.setattr(tfds, "builder", lambda name, **options: builder)
    with pytest.raises(UserError, match="no pictures in a feature `image`; it has text"):
        open_images("tiny_pictures", data_dir=str(tmp_path))


# Synthetic pictures


def test_synthetic_images_never_end_and_are_pure(tmp_path: Path) -> None:
    images = open_images("synthetic", image_size=32, batch_size=2, flip=True)
    assert images.pictures_per_epoch is None and images.broken == {}
    far = images.batch(10**6)
    assert far.shape == (2, 32, 32, 3) and far.dtype == np.uint8
    np.testing.assert_array_equal(
        far, open_images("synthetic", image_size=32, batch_size=2, flip=True).batch(10**6)
    )
    np.testing.assert_array_equal(next(iter(images.batches(10**6))), far)


def test_synthetic_picture_is_a_pure_function() -> None:
    first = synthetic_picture(3, 5, 64)
    np.random.seed(0)
    np.testing.assert_array_equal(first, synthetic_picture(3, 5, 64))
    for other in (synthetic_picture(3, 6, 64), synthetic_picture(4, 5, 64)):
        assert abs(first.astype(int) - other).mean() > 10


@pytest.mark.parametrize("side", [1, 7, 33, 600])
def test_synthetic_pictures_of_any_side(side: int) -> None:
    assert synthetic_picture(0, 0, side).shape == (side, side, 3)


def test_textures_are_what_the_leaves_count_on() -> None:
    every = textures()
    assert len(every) == KINDS and abs(every).max() <= 2.5
    np.testing.assert_allclose(every.mean((1, 2)), 0, atol=0.1)


def test_synthetic_pictures_have_natural_statistics() -> None:
    """Ranges around the medians of photographs: slope -2.6, saturation 0.25, kurtosis 18."""
    side, count = 128, 40
    pictures = np.stack([synthetic_picture(1, index, side) for index in range(count)]).astype(float)
    luminance = pictures @ [0.299, 0.587, 0.114]
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = abs(np.fft.fft2((luminance - luminance.mean((1, 2), keepdims=True)) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(side) * side]))
    rings = [(frequency >= low) & (frequency < 2 * low) for low in (4, 8, 16, 32)]
    spectrum = np.log([power[:, ring].mean(1) for ring in rings])  # (ring, picture)
    slopes = np.polyfit(np.log([4, 8, 16, 32]), spectrum, 1)[0]
    assert -3.1 < np.median(slopes) < -2.0

    gradient = np.diff(luminance, axis=2).reshape(count, -1)
    kurtosis = (gradient**4).mean(1) / (gradient**2).mean(1) ** 2
    assert 8 < np.median(kurtosis) < 60  # 3 would be Gaussian noise: no edges
    largest, smallest = pictures.max(3), pictures.min(3)
    saturation = ((largest - smallest) / largest.clip(1)).mean((1, 2))
    assert 0.15 < np.median(saturation) < 0.35 and saturation.max() > 0.4
    assert 90 < np.median(luminance.mean((1, 2))) < 150
    assert 35 < np.median(luminance.std((1, 2))) < 70
    smooth = (abs(gradient) < 2).mean(1)
    assert smooth.max() > 0.6 and smooth.min() < 0.3  # skies, and thickets


def test_the_pictures_reach_the_step_as_they_were_decoded(tmp_path: Path) -> None:
    path = tmp_path / "square.png"
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    write_picture(path, Picture(rgb))
    np.testing.assert_array_equal(open_images(path).batch(0)[2], rgb)
    np.testing.assert_array_equal(decode_picture(path.read_bytes(), "x").rgb, rgb)
    assert Image.open(path).size == (16, 16)


# Elsewhere


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray cluster, to which the program is connected."""
    ray = pytest.importorskip("ray", reason="Ray is an optional extra")
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    here = {"num_cpus": 2, "object_store_memory": 100_000_000, "_node_ip_address": "127.0.0.1"}
    ray.init("local", **quiet, **here)
    yield "local"
    ray.shutdown()


def test_pictures_of_a_data_service_are_those_of_this_machine(tmp_path: Path, cluster: str) -> None:
    folder = write_folder(tmp_path, 24, broken=2)
    here = open_images(folder, crop="random", flip=True)
    served = open_images(folder, crop="random", flip=True, data_service=cluster)
    batches = served.batches(4)
    for step in range(4, 16):
        np.testing.assert_array_equal(next(batches), here.batch(step))
    batches.close()
    assert served.broken == here.broken and len(here.broken) == 2


def test_a_data_service_that_is_lost_in_part_goes_on(tmp_path: Path, cluster: str) -> None:
    import psutil

    def readers() -> set[psutil.Process]:
        return {p for p in psutil.process_iter(["cmdline"]) if "ray::Reader" in str(p.info)}

    here = open_images(write_folder(tmp_path, 8))
    others = readers()  # of another test, on their way out
    batches = open_images(tmp_path, data_service=cluster).batches(0)
    np.testing.assert_array_equal(next(batches), here.batch(0))
    ours = readers() - others
    assert len(ours) == 2
    ours.pop().kill()
    for step in range(1, 40):
        np.testing.assert_array_equal(next(batches), here.batch(step))
    batches.close()


def test_broken_files_of_a_data_service_are_told(tmp_path: Path, cluster: str) -> None:
    broken = open_images(write_folder(tmp_path, 8, broken=8), data_service=cluster)
    with pytest.raises(UserError, match=r"of 8 pictures \d so far cannot be read"):
        next(broken.batches(0))

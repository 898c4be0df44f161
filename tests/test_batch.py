"""Collections of pictures, in processes of this machine and on Ray."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

pytest.importorskip("ray", reason="Ray is an optional extra")
pytest.importorskip("openvino", reason="OpenVINO is an optional extra")

import pyarrow
import ray
from pyarrow import parquet

from fast_style import errors
from fast_style.batch import processes
from fast_style.batch.actors import Actors, actors_for
from fast_style.batch.cluster import Actor, Attempts, rows_of_a_block
from fast_style.batch.inputs import find_inputs
from fast_style.batch.parquet_rows import entries_of_rows, read_rows
from fast_style.batch.picture_files import Entry, PictureFiles
from fast_style.batch.run import stylize_collection
from fast_style.batch.stores import Store, open_store
from fast_style.batch.work import Report, Work, models_by_name
from fast_style.batch.worker import Worker
from fast_style.errors import UserError
from fast_style.hardware import usable_cores
from fast_style.pictures.images import Picture, encode_picture, read_picture, write_picture
from fast_style.stylize.files import stylize_files
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer

Photo = Callable[..., np.ndarray]

PROJECT = Path(__file__).resolve().parent.parent
FASTEST = {"runtime": "openvino", "precision": "float32"}

# A program in which nothing slow can be imported.
WITHOUT = """
import builtins, runpy, sys
imported = builtins.__import__
def quick(name, *rest, **more):
    assert name.partition(".")[0] not in ("ray", "tensorflow", "keras"), name
    return imported(name, *rest, **more)
builtins.__import__ = quick
sys.argv[0] = "batch"
runpy.run_module("fast_style.batch", run_name="__main__")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=100_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(params=["processes", "ray"])
def address(request: pytest.FixtureRequest) -> str | None:
    """None, or that of a Ray that is there."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return "auto" if request.param == "ray" else None


@pytest.fixture
def collection(tmp_path: Path, photo: Photo) -> Path:
    """A folder of pictures of one size in several formats, in folders, and two broken files."""
    folder = tmp_path / "photos"
    (folder / "deep" / "deeper").mkdir(parents=True)
    write_picture(folder / "a.png", Picture(photo(), photo()[..., 0]))
    write_picture(folder / "deep" / "a.png", Picture(photo(seed=1)))
    write_picture(folder / "deep" / "b.jpg", Picture(photo(seed=2)))
    Image.fromarray(photo(seed=3)).save(folder / "deep" / "deeper" / "c.gif")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "deep" / "text.jpg").write_text("no picture")
    return folder


def run(model: Path, inputs: Path | str, output: Path | str, **how: Any) -> int:
    return stylize_collection([str(model)], [str(inputs)], str(output), **FASTEST, **how)


def complaint(*arguments: Any, **how: Any) -> str:
    with pytest.raises(UserError) as error:
        run(*arguments, **how)
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(folder: Path) -> dict[str, bytes]:
    """The pictures below a folder."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".csv"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def inodes(folder: Path) -> dict[Path, int]:
    """What is another number for a file that was written again."""
    return {p: p.stat().st_ino for p in folder.rglob("*-tiny.*")}


def table(folder: Path) -> dict[str, str]:
    with open(folder / "broken.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


# Files


def test_every_picture_is_done_as_eval_does_it_and_broken_ones_are_listed(
    address: str | None,
    trained_model: Path,
    several: Path,
    collection: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    how = {"how": Stylization(strength=0.7, preserve_color=True, max_size=50, scale=2)}
    for model, style in ((trained_model, None), (several, "wave"), (several, "candy=1,wave=3")):
        inputs, settings = [str(collection)], {"style": style, **FASTEST, **how}
        assert stylize_files(str(model), inputs, tmp_path / "eval", **settings) == 1
    capsys.readouterr()
    models, styles, out = [str(trained_model), str(several)], ["wave", "candy=1,wave=3"], "out"
    # As eval.py has them: on fewer cores, sums have another order.
    cores = {"cpus_per_actor": usable_cores()}
    settings = {"styles": styles, "address": address, **cores, **FASTEST, **how}
    assert stylize_collection(models, [str(collection)], str(tmp_path / out), **settings) == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "eval")
    assert len(contents(tmp_path / "out")) == 12
    reasons = table(tmp_path / "out")
    assert set(reasons) == {str(collection / "cut.png"), str(collection / "deep" / "text.jpg")}
    assert reasons[str(collection / "cut.png")].startswith("is damaged or cut short")
    said = capsys.readouterr()
    assert said.out.startswith(f"{tmp_path / 'out'}: 12 stylized images in ")
    assert f"error: {collection / 'deep' / 'text.jpg'}: is not a JPEG" in said.err
    assert f"broken: 2, see {tmp_path / 'out' / 'broken.csv'}" in said.err
    assert "6/6" in said.err  # the bar, and nothing of Ray's
    assert "ray" not in said.err.replace(str(tmp_path), "").lower()


def test_what_is_there_is_not_done_again(
    address: str | None,
    trained_model: Path,
    collection: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, url = tmp_path / "out", f"file://{tmp_path / 'out'}"
    for broken in ("cut.png", "deep/text.jpg"):
        (collection / broken).unlink()
    stylize_files(str(trained_model), [str(collection)], out, **FASTEST)
    expected, before = contents(out), inodes(out)
    lost = out / "deep" / "b-tiny.jpg"
    lost.write_bytes(b"")  # some stores show an empty file of what is not there yet
    capsys.readouterr()
    how = {"address": address, "cpus_per_actor": usable_cores()}
    assert run(trained_model, f"file://{collection}", url, **how) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: 1 stylized images") and said.endswith("3 existed already\n")
    assert contents(out) == expected
    assert {path for path, inode in inodes(out).items() if inode != before[path]} == {lost}
    after = inodes(out)
    assert run(trained_model, collection, out) == 0
    assert inodes(out) == after and not (out / "broken.csv").exists()
    assert "0 stylized images" in (said := capsys.readouterr().out) and "4 existed already" in said


def processes_at_work() -> list[psutil.Process]:
    """A process that ends meanwhile has None for its command line."""
    here = psutil.Process().children(recursive=True)
    lines = [(p, p.as_dict(["cmdline"])["cmdline"]) for p in here if p.is_running()]
    return [p for p, line in lines if "spawn_main" in " ".join(line or [])]


def rays_actors() -> list[psutil.Process]:
    actors = psutil.process_iter(["name"])
    return [p for p in actors if (p.info["name"] or "").startswith("ray::MapWorker")]


def test_an_actor_that_is_killed_costs_nothing(
    address: str | None, trained_model: Path, photo: Photo, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(40):
        write_picture(tmp_path / "in" / f"{number}.png", Picture(photo(96, 128, seed=number)))
    out = tmp_path / "out"
    status: list[int] = []
    running = threading.Thread(
        target=lambda: status.append(run(trained_model, tmp_path / "in", out, address=address))
    )
    running.start()
    while len(before := inodes(out)) < 4:
        assert running.is_alive()
        time.sleep(0.01)
    killed = rays_actors() if address else processes_at_work()
    for actor in killed:
        actor.kill()
    running.join()
    assert killed and status == [0]
    after = inodes(out)
    assert len(after) == 40 and {path: after[path] for path in before} == before


@pytest.fixture
def work(trained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """On pictures of at most 2,240 pixels."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a worker without a GPU hides them
    models = models_by_name([str(trained_model)], [])
    store, out = open_store(str(tmp_path / "out"))
    return Work(models, store, out, 40 * 56, **FASTEST)


def test_a_picture_that_claims_too_many_pixels_is_listed(work: Work, photo: Photo) -> None:
    large = encode_picture(Picture(photo(41, 56)), ".png")
    worker = Worker(work, 2)
    worker.load()
    report = worker.submit(Entry("large.png", "large.png", partial(bytes, large))).result()
    ((source, reason),) = report.broken
    assert source == "large.png"
    assert reason.startswith("56x41 is 2,296 pixels")
    assert reason.endswith("; --allow-huge reads it")


class Entries(list[Entry]):
    """An input as far as one machine asks for it."""

    @property
    def count(self) -> int:
        return len(self)


def test_processes_that_die_at_a_picture_cost_that_picture_alone(work: Work, photo: Photo) -> None:
    encoded = encode_picture(Picture(photo()), ".png")
    entries = Entries(Entry(f"{n}.png", f"{n}.png", partial(bytes, encoded)) for n in range(24))
    for deadly in (5, 6):
        entries[deadly] = replace(entries[deadly], encoded=partial(os._exit, 9))
    total = Report()
    for report in processes.reports(work, entries, Actors(2, 1, 0)):  # type: ignore[arg-type]
        total.add(report)
    died = "2 processes died at this picture"
    assert sorted(total.broken) == [("5.png", died), ("6.png", died)]
    assert (total.pictures, total.made + total.already_done) == (24, 22)
    assert len(inodes(Path(work.folder))) == 22
    assert not processes_at_work()


class Deadly:
    """In place of a model: the process that unpickles it dies."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_processes_that_cannot_begin_are_told(work: Work) -> None:
    never = replace(work, models={"tiny": Deadly()})  # type: ignore[dict-item]
    entries = Entries([Entry("a.png", "a.png", bytes)])
    with pytest.raises(UserError, match="a process dies while it loads the networks"):
        list(processes.reports(never, entries, Actors(1, 1, 0)))  # type: ignore[arg-type]


def test_a_picture_at_which_ray_s_actors_die_is_given_up(
    cluster: None, work: Work, collection: Path
) -> None:
    paths = [str(collection / "a.png"), str(collection / "deep" / "a.png")]
    block = pyarrow.table({"path": paths, "inside": ["a.png", "b.png"]})
    entries = PictureFiles(open_store(str(collection))[0], {}).entries()
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    actor = Actor(work, entries, Actors(1, 2, 0), attempts)
    # Two processes began the block and the second picture, and ended neither.
    for begun in (f"block of {paths[0]}", paths[1]) * 2:
        ray.get(attempts.begin.remote(begun))
    died = "2 processes died at this picture"
    assert actor(block) == {"report": [Report(1, 1), Report(1, broken=[(paths[1], died)])]}
    assert actor(block) == {"report": [Report(1, 0, 1), Report(1, 1)]}


def test_reports_add_up() -> None:
    total = Report(1, 2)
    total.add(Report(1, 1, 1))
    total.add(Report(1, 0, 1, [("c", "is damaged")]))
    assert total == Report(3, 3, 2, [("c", "is damaged")])
    total.add(Report(1, broken=[("d", "is empty")]))
    assert total == Report(4, 3, 2, [("c", "is damaged"), ("d", "is empty")])


@pytest.mark.parametrize("actors", [1, 3, 200])
@pytest.mark.parametrize("pictures", [1, 7, 100, 10_000, 1_000_000_000])
def test_blocks_give_every_actor_a_share_and_are_not_too_large(pictures: int, actors: int) -> None:
    rows = rows_of_a_block(pictures, actors)
    assert 1 <= rows <= 256
    assert pictures / rows >= min(pictures, actors)  # as many blocks as actors, where that can be
    assert rows >= min(8, pictures // (4 * actors))  # and no more messages than it takes


def test_an_error_of_the_actors_is_told_in_one_line(
    address: str | None, trained_model: Path, collection: Path, tmp_path: Path
) -> None:
    model = tmp_path / "other"
    model.mkdir()
    (model / "conf.yml").write_bytes((trained_model / "conf.yml").read_bytes())
    np.savez(model / "weights.npz", **{"network/conv1/kernel": np.zeros((3, 3, 3, 8), np.float32)})
    assert "conv1/kernel of shape (9, 9, 3, 32) is needed" in complaint(
        model, collection, tmp_path / "out", address=address
    )


# Several models


def test_models_get_names_of_their_own(trained_model: Path, several: Path) -> None:
    assert list(models_by_name([str(trained_model)], [])) == ["tiny"]
    assert list(models_by_name([str(trained_model)], ["tiny"])) == ["tiny-tiny"]
    both = models_by_name([str(several), str(trained_model)], ["candy", "wave"])
    assert list(both) == ["several-candy", "several-wave", "tiny"]
    for models, styles, said in (
        ([trained_model, trained_model], [], "two would write pictures named NAME-tiny"),
        ([several], ["wave", "wave"], "two would write pictures named NAME-several-wave"),
        ([several, trained_model], [], "has several styles; --style takes one of"),
        ([several], ["wvae"], "did you mean 'wave'"),
        ([trained_model, trained_model.parent / "tiny"], ["wave"], "each of the models has one"),
    ):
        with pytest.raises(UserError, match=said):
            models_by_name(list(map(str, models)), styles)


# Parquet files


def write_parquet(path: Path, names: list[str], encoded: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table({"name": names, "bytes": encoded}), path)


def test_rows_of_parquet_files_become_pictures_in_folders_of_their_names(
    address: str | None, trained_model: Path, photo: Photo, tmp_path: Path
) -> None:
    good = [encode_picture(Picture(photo(seed=seed)), ".png") for seed in range(4)]
    rows = zip(
        ["a.png", "deep/b.jpg", "c", "../d.png", "e.png", "f.png", None, "there.png"],
        [good[0], good[1], good[2], good[3], b"no picture", None, good[3], good[3]],
        strict=True,
    )
    images = pyarrow.array([{"path": name, "bytes": encoded} for name, encoded in rows])
    one, two = tmp_path / "in" / "one.parquet", tmp_path / "in" / "two.pq"
    one.parent.mkdir()
    parquet.write_table(pyarrow.table({"image": images, "n": range(8)}), one, row_group_size=3)
    images = pyarrow.array([{"path": "a.png", "bytes": good[3]}])
    parquet.write_table(pyarrow.table({"image": images}), two)
    no_parquet = tmp_path / "in" / "text.parquet"
    no_parquet.write_text("no Parquet")
    out = tmp_path / "out"
    (out / "one").mkdir(parents=True)
    (out / "one" / "there-tiny.png").write_text("mine")
    inputs = [str(one), str(two), str(no_parquet)]
    status = stylize_collection(
        [str(trained_model)],
        inputs,
        str(out),
        image_column="image.bytes",
        name_column="image.path",
        address=address,
        **FASTEST,
    )
    assert status == 1
    written = ["one/a-tiny.png", "one/deep/b-tiny.jpg", "one/c-tiny.png", "two/a-tiny.png"]
    assert set(contents(out)) == {*written, "one/there-tiny.png"}
    assert (out / "one" / "there-tiny.png").read_text() == "mine"
    stylizer = Stylizer(trained_model, **FASTEST)
    for place, seed in zip(written, range(4), strict=True):
        if place.endswith(".png"):
            made = read_picture(out / place).rgb.astype(int)
            # On as many cores as it got, sums have another order.
            np.testing.assert_allclose(made, stylizer(photo(seed=seed)), rtol=0, atol=1)
    refused = table(out)
    assert refused.pop(str(no_parquet)).startswith("cannot be read to its end: ")
    assert refused == {
        f"{one}: ../d.png": "'../d.png' leads out of the output folder",
        f"{one}: e.png": "is not a JPEG, PNG, WebP, AVIF, JPEG 2000, "
        "BMP, GIF, TIFF or HEIC picture",
        f"{one}: f.png": "is empty, not a picture",
        f"{one}: None": "None is not a file name",
    }


def test_a_parquet_file_that_breaks_off_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    encoded = [np.random.default_rng(seed).bytes(9000) for seed in range(4)]
    table = pyarrow.table({"name": list("abcd"), "bytes": encoded})
    parquet.write_table(table, path, row_group_size=2)
    where = parquet.read_metadata(path).row_group(1).column(1).data_page_offset
    with open(path, "r+b") as file:
        file.seek(where)
        file.write(b"\xff" * 20)
    pictures = find_inputs([str(path)], ["tiny"], "bytes", "name")
    assert pictures.count == 4  # as the names say, which are whole
    store, place = open_store(str(path))
    files = pyarrow.table({"path": [place], "inside": ["x.parquet"]})
    entries = [e for t in read_rows(store, "bytes", "name", 2, files) for e in entries_of_rows(t)]
    assert [entry.inside for entry in entries[:2]] == ["x/a.png", "x/b.png"]
    assert [entry.encoded() for entry in entries[:2]] == encoded[:2]
    assert len(entries) == 3 and entries[2].source == str(path)
    assert entries[2].refusal.startswith("cannot be read to its end: ")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image_column": "byte"}, "--image-column byte: is not in .*did you mean 'bytes'"),
        ({"name_column": "nmae"}, "--name-column nmae: is not in .*did you mean 'name'"),
        ({"image_column": "name"}, "--image-column name: has string in .*; it must have the bytes"),
    ],
)
def test_a_wrong_column_is_told(tmp_path: Path, columns: dict[str, str], said: str) -> None:
    write_parquet(tmp_path / "x.parquet", ["a"], [b""])
    chosen = {"image_column": "bytes", "name_column": "name", **columns}
    with pytest.raises(UserError, match=said):
        find_inputs(
            [str(tmp_path / "x.parquet")], ["tiny"], chosen["image_column"], chosen["name_column"]
        )


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = [pyarrow.array([b""]), pyarrow.array(["a"]), pyarrow.array(["b"])]
    parquet.write_table(pyarrow.table(rows, ["bytes", "name", "name"]), path)
    with pytest.raises(UserError, match=r"--name-column name: is in .* several times"):
        find_inputs([str(path)], ["tiny"], "bytes", "name")


# Names


def test_two_inputs_of_one_name_are_refused(
    trained_model: Path, collection: Path, tmp_path: Path
) -> None:
    said = complaint(trained_model, collection / "**" / "a.png", tmp_path / "out")
    assert f"{collection / 'a.png'} and {collection / 'deep' / 'a.png'} would both become" in said
    for names in (["a.png", "b.png", "a.png"], ["a.png", "a.gif"], ["a", "./a.png"]):
        write_parquet(tmp_path / "x.parquet", names, [b""] * len(names))
        said = complaint(trained_model, tmp_path / "x.parquet", tmp_path / "out")
        assert "would both become x/a-tiny.png" in said
    for stem in ("one", "two"):
        write_parquet(tmp_path / stem / "x.parquet", ["a.png"], [b""])
    assert "would both become" in complaint(
        trained_model, tmp_path / "**" / "x.parquet", tmp_path / "out"
    )
    write_parquet(tmp_path / "x.pq", ["a.png"], [b""])
    with pytest.raises(UserError, match="would both become x"):
        find_inputs(
            [str(tmp_path / name) for name in ("x.pq", "x.parquet")], ["m"], "bytes", "name"
        )
    write_parquet(tmp_path / "two.parquet", ["x/a.png"], [b""])
    (tmp_path / "in.parquet").mkdir()
    for place in ("two", "two.parquet"):
        (tmp_path / place).rename(tmp_path / "in.parquet" / place)
    said = complaint(trained_model, tmp_path / "in.parquet", tmp_path / "out")
    assert "pictures of two and two/x would mix" in said
    assert not (tmp_path / "out").exists()


def test_inputs_and_outputs_that_cannot_be_are_told(
    trained_model: Path, collection: Path, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "x.parquet", ["a"], [b""])
    (tmp_path / "y.parquet").write_text("no Parquet")
    out = tmp_path / "out"
    assert "no such file or folder" in complaint(trained_model, tmp_path / "none", out)
    assert "no files there of .parquet" in complaint(trained_model, tmp_path / "n/*.parquet", out)
    assert "cannot be read as Parquet" in complaint(trained_model, tmp_path / "y.parquet", out)
    assert "is a file" in complaint(trained_model, collection, tmp_path / "y.parquet")
    assert "cannot be made" in complaint(trained_model, collection, tmp_path / "y.parquet" / "z")
    assert "xx://a/b: cannot be reached" in complaint(trained_model, "xx://a/b", out)
    assert "an empty name" in complaint(trained_model, "", out)
    with pytest.raises(UserError, match="not both in one run"):
        find_inputs([str(collection), str(tmp_path / "x.parquet")], ["tiny"], "bytes", "name")


# Stores


@pytest.fixture(params=["disk", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, str]:
    """A store and a folder in it; fsspec's memory stands for what is no disk."""
    return open_store(str(tmp_path) if request.param == "disk" else f"memory://{tmp_path}")


def test_a_store_has_what_was_put_there(store: tuple[Store, str]) -> None:
    at, folder = store
    assert at.sizes_below(f"{folder}/new") == {} and not at.has(f"{folder}/new/a.png")
    for name in ("a.png", "deep/b.PNG", "deep/.hidden.png", "deep/c.txt"):
        at.write(f"{folder}/new/{name}", name.encode())
    at.write(f"{folder}/new/empty.png", b"")
    assert at.read(f"{folder}/new/deep/b.PNG") == b"deep/b.PNG"
    assert at.has(f"{folder}/new/a.png") and not at.has(f"{folder}/new/empty.png")
    assert not at.has(f"{folder}/new") and not at.has(f"{folder}/new/a.png/b.png")
    sizes = {"a.png": 5, "deep/b.PNG": 10, "deep/.hidden.png": 16, "deep/c.txt": 10, "empty.png": 0}
    assert at.sizes_below(f"{folder}/new") == sizes
    found = at.find(f"{folder}/new", (".png",))
    assert list(found.values()) == ["a.png", "deep/b.PNG", "empty.png"]
    assert list(found) == [f"{folder}/new/{inside}" for inside in found.values()]
    assert at.find(f"{folder}/new/**/b.*", (".png",)) == {f"{folder}/new/deep/b.PNG": "b.PNG"}
    assert at.find(f"{folder}/new/a.png", (".png",)) == {f"{folder}/new/a.png": "a.png"}
    at.remove(f"{folder}/new/a.png")
    assert not at.has(f"{folder}/new/a.png")
    with pytest.raises(UserError, match=r"a\.png: no such file"):
        at.read(f"{folder}/new/a.png")
    with pytest.raises(UserError, match=r"no files there of \.bmp"):
        at.find(f"{folder}/new", (".bmp",))


# Actors


@pytest.mark.parametrize(
    ("machines", "asked", "found"),
    [
        ([{"CPU": 1}], {}, Actors(1, 1, 0)),
        ([{"CPU": 2}], {}, Actors(2, 1, 0)),
        ([{"CPU": 2, "memory": 7e9}], {}, Actors(1, 2, 0)),
        ([{"CPU": 6}], {}, Actors(6, 1, 0)),
        ([{"CPU": 6, "memory": 20e9}], {}, Actors(5, 1, 0)),
        ([{"CPU": 6, "memory": 1e9}], {}, Actors(1, 6, 0)),
        ([{"CPU": 8, "memory": 32e9}], {}, Actors(4, 2, 0)),
        ([{"CPU": 16}], {}, Actors(4, 4, 0)),
        ([{"CPU": 16, "memory": 8e9}], {}, Actors(2, 8, 0)),
        ([{"CPU": 64}], {}, Actors(16, 4, 0)),
        ([{"CPU": 16}], {"pictures": 3}, Actors(3, 5, 0)),
        ([{"CPU": 16}, {"CPU": 8}, {"CPU": 0}, {}], {}, Actors(12, 2, 0)),
        ([{"CPU": 16, "memory": 8e9}], {"cpus": 5}, Actors(3, 5, 0)),
        ([{"CPU": 16}], {"count": 9}, Actors(9, 4, 0)),
        ([{"CPU": 16}], {"count": 2}, Actors(2, 8, 0)),
        ([{"CPU": 32, "GPU": 4, "memory": 8e9}, {"CPU": 64}], {}, Actors(4, 8, 1)),
        ([{"CPU": 32, "GPU": 4}, {"CPU": 64}], {"gpus": 0}, Actors(24, 4, 0)),
        ([{"CPU": 16, "GPU": 1}], {"gpus": 0.5}, Actors(2, 8, 0.5)),
        ([{"CPU": 2, "GPU": 8}], {}, Actors(2, 1, 1)),
    ],
)
def test_as_many_actors_as_there_is_room_for(
    machines: list[dict[str, float]], asked: dict[str, Any], found: Actors
) -> None:
    assert actors_for(machines, **({"pictures": 1000} | asked)) == found


def test_actors_for_which_there_is_no_room_are_refused() -> None:
    with pytest.raises(UserError, match="--cpus-per-actor 9: no machine has so many; at most 8"):
        actors_for([{"CPU": 8}, {"CPU": 4}], 1000, cpus=9)
    with pytest.raises(UserError, match="--gpus-per-actor 2: no machine has so many"):
        actors_for([{"CPU": 8, "GPU": 1}], 1000, gpus=2)


@pytest.mark.parametrize("reserved", [1, os.cpu_count() or 1])
def test_networks_compute_on_the_cores_that_are_reserved(
    trained_model: Path, reserved: int
) -> None:
    code = f"""
import numpy, os
from pathlib import Path
from fast_style.hardware import usable_cores
from fast_style.runtimes.threads import compute_on
from fast_style.stylize.stylizer import Stylizer
compute_on({reserved})
stylizer = Stylizer(Path({str(trained_model)!r}), "openvino")
stylizer(numpy.zeros((8, 8, 3), numpy.uint8))
compiled = stylizer.network.whole.compiled
print(compiled.get_property("INFERENCE_NUM_THREADS"), min({reserved}, usable_cores()))
print(os.environ.get("TF_NUM_INTRAOP_THREADS"), usable_cores())
"""
    # As Ray sets it for an actor of one CPU.
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (threads, expected), (tensorflow, usable) = map(str.split, done.stdout.splitlines())
    assert threads == expected
    assert tensorflow == (str(reserved) if reserved < int(usable) else "None")


# The program


def command(*flags: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", WITHOUT, *map(str, flags)]
    return subprocess.run(line, cwd=PROJECT, capture_output=True, text=True)


def test_help_comes_without_ray() -> None:
    result = command("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for flag in ("--model", "--style", "--input", "--output", "--address", "--cpus-per-actor"):
        assert flag in result.stdout


def test_wrong_flags_are_told_in_one_line_before_ray_is_imported(
    trained_model: Path, collection: Path, tmp_path: Path
) -> None:
    flags = ["--model", trained_model, "--input", collection, "--output", tmp_path / "out"]
    for wrong, said in (
        (["--strength", "2"], "argument --strength: 2 is not between 0 and 1"),
        (["--gpus-per-actor", "1.5"], "argument --gpus-per-actor: 1.5 is neither between"),
        (["--model", "models/none"], "models/none: no such model folder"),
        (["--style", "wvae"], "--style wvae: there is no 'wvae'"),
        (["--input", tmp_path / "none"], "none: no such file or folder"),
        (["--cpus-per-actor", "9999"], "--cpus-per-actor 9999: no machine has so many; at most"),
    ):
        result = command(*flags, *wrong)
        assert result.returncode == 2 and result.stdout == ""
        assert len(result.stderr.splitlines()) == 1 and said in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_told(
    trained_model: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "ray" else name)
    out = tmp_path / "out"
    said = complaint(trained_model, collection, out, address="auto")
    assert said == "--address auto: needs ray: pip install 'fast-style[batch]'"
    assert not out.exists()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    trained_model: Path, photo: Photo, tmp_path: Path, ending: signal.Signals
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(24):
        write_picture(tmp_path / "in" / f"{number}.png", Picture(photo(200, 240, seed=number)))
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    line = [sys.executable, "-m", "fast_style.batch", "--model", str(trained_model)]
    line += ["--input", str(tmp_path / "in"), "--output", str(out), "--runtime", "openvino"]
    stopped = subprocess.Popen(
        line,
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background would have it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while len(inodes(out)) < 4:
        assert stopped.poll() is None
        time.sleep(0.01)
    actors = processes_at_work()
    # From a keyboard it reaches every process.
    for process in [stopped, *actors] if ending == signal.SIGINT else [stopped]:
        process.send_signal(ending)
    told = stopped.communicate()[1]
    if ending == signal.SIGINT:
        assert stopped.returncode == 130
        assert "Traceback" not in told and told.splitlines()[-1] == "interrupted"
    assert actors and not psutil.wait_procs(actors, timeout=30)[1]
    before = inodes(out)
    assert len(before) < 24
    result = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 1 and f"{24 - len(before)} stylized images" in result.stdout
    after = inodes(out)
    assert len(after) == 24 and {path: after[path] for path in before} == before
    assert table(out).keys() == {str(tmp_path / "in" / "broken.png")}

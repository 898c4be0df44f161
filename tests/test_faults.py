"""Disks that fill up, go away or refuse, files that vanish, clocks that jump, and two at once."""

import errno
import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fast_style.command_line import exit_on_user_error
from fast_style.conf.conf_file import config_from_mapping
from fast_style.conf.config import Config
from fast_style.errors import UserError
from fast_style.files import UNFINISHED_FILES, write_atomically
from fast_style.model_folder.checkpoint import Checkpoint, newest_checkpoint
from fast_style.model_folder.model import read_model, write_model, write_result
from fast_style.model_folder.npz import read_arrays
from fast_style.pictures.images import Picture, read_picture, write_picture
from fast_style.stylize import files as stylize_files_module
from fast_style.training.lock import LOCK, training_lock
from fast_style.training.loop import train
from fast_style.training.step import Batch, Trainer
from tests.faults import Fault, struck

Photo = Callable[..., np.ndarray]
Run = Callable[[], object]

PROJECT = Path(__file__).resolve().parent.parent
NOTES: dict[str, Any] = {"last_step": {}, "validation_before": None}
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


def outcome(run: Run, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status of a program that runs `run`, and what it says on stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        exit_on_user_error(lambda: run() and None)
    return int(stopped.value.code or 0), capsys.readouterr().err


def befall(
    folder: Path,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    check: Run = lambda: None,
    contents: Callable[[Path], dict[str, Any]] = contents,
) -> None:
    """Strike every operation of `run` below `folder`, of which there is at least one.

    Whatever is struck, `folder` keeps each file as it was or gets the whole new one, and nothing
    else; the program says so in one line; and check() passes. `run` has to write each time what
    `contents` finds the same.
    """
    old = contents(folder)
    aside = folder.with_name("as it was")
    shutil.copytree(folder, aside)
    assert outcome(run, capsys)[0] == 0
    new = contents(folder)
    assert new != old
    # One operation that fails, by each error; and a disk on which from then on all of them do.
    for error, stays in [*((error, False) for error in ERRORS), (errno.ENOSPC, True)]:
        for number in itertools.count(1):
            shutil.rmtree(folder)
            shutil.copytree(aside, folder)
            fault = Fault(number, error, stays)
            with struck(folder, fault):
                status, said = outcome(run, capsys)
            left = contents(folder)
            if stays:  # what was begun cannot be removed there
                left = {name: data for name, data in left.items() if not is_unfinished(name)}
            hit = f"{os.strerror(error)}: {fault.seen[-1]}"
            assert left.keys() >= old.keys() & new.keys(), hit
            for name, data in left.items():
                assert data in (old.get(name), new.get(name)), f"{name} after {hit}"
            check()
            if status == 0:  # what failed was tried once more, or not needed
                assert left == new, hit
            else:
                lines = said.splitlines()
                assert status == 2 and len(lines) == 1, said
                assert lines[0].startswith("error: ") and os.strerror(error) in lines[0], said
            if not fault.happened:
                assert status == 0 and number > 1
                break
    shutil.rmtree(aside)


def is_unfinished(name: str) -> bool:
    return any(Path(part).match(UNFINISHED_FILES) for part in Path(name).parts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which a program works, with something of somebody else's in it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def config(conf_values: dict[str, Any], tmp_path: Path) -> Config:
    """The conf of trained_model, for a folder of its own and without held-out pictures."""
    values = conf_values | {"model_path": str(tmp_path / "models"), "validation_images": None}
    return config_from_mapping(values, "conf")


# A disk that is full, read-only, not permitted or broken


def test_a_picture_is_there_whole_or_not_at_all(
    folder: Path, photo: Photo, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(folder / "out.png", Picture(photo(seed=5)))
    run = lambda: write_picture(folder / "out.png", Picture(photo(seed=6)))  # noqa: E731
    befall(folder, run, capsys)


def test_eval_leaves_the_old_picture_or_the_whole_new_one(
    folder: Path, trained_model: Path, photo: Photo, tmp_path: Path, capsys
) -> None:
    write_picture(tmp_path / "photo.png", Picture(photo(16, 16)))
    write_picture(folder / "out.png", Picture(photo(seed=5)))
    stylizer = stylize_files_module.Stylizer(trained_model, "tensorflow", "float32", None, None)

    def run() -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stylize_files_module, "Stylizer", lambda *_: stylizer)
            return stylize_files_module.stylize_files(
                str(trained_model), [str(tmp_path / "photo.png")], folder / "out.png"
            )

    befall(folder, run, capsys)


def test_a_checkpoint_and_the_model_are_there_whole_or_not_at_all(folder: Path, capsys) -> None:
    network = SimpleNamespace(variables=())
    arrays = {"network/a": np.arange(1000.0)}
    config = Config(naming="tiny")
    checkpoint = Checkpoint(2, 1.0, "float32", {}, NOTES, arrays)
    checkpoint.save(folder, 1)

    def run() -> None:
        replace(checkpoint, step=4).save(folder, 1)
        write_model(folder, config, network)
        write_result(folder, {"steps": 4})

    def gone_on_with() -> None:
        newest = newest_checkpoint(folder)
        assert newest is not None
        np.testing.assert_array_equal(newest.arrays["network/a"], arrays["network/a"])

    befall(folder, run, capsys, gone_on_with)


def test_an_onnx_export_is_there_whole_or_not_at_all(
    folder: Path, trained_model: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    pytest.importorskip("onnx", reason="ONNX is an optional extra")
    from fast_style import export as exporting
    from fast_style.export.formats import Comparison

    # What runs the file has no part in this.
    monkeypatch.setattr(exporting, "compare", lambda *_: [Comparison(32, 32, 0.0)])
    network = exporting.build_network(read_model(trained_model))
    monkeypatch.setattr(exporting, "build_network", lambda _: network)
    befall(folder, lambda: exporting.export(trained_model, folder / "a.onnx", "onnx"), capsys)


def test_a_clip_is_there_whole_or_not_at_all(
    folder: Path, tmp_path: Path, photo: Photo, capsys
) -> None:
    av = pytest.importorskip("av", reason="PyAV is an optional extra")
    from fast_style.video.reading import Clip
    from fast_style.video.writing import writing

    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=32, height=32, pix_fmt="yuv420p")
        for number in range(3):
            picture = av.VideoFrame.from_ndarray(photo(32, 32, seed=number), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    shutil.copy(tmp_path / "in.mp4", folder / "out.mp4")

    def run() -> None:
        with Clip(str(tmp_path / "in.mp4")) as clip, writing(folder / "out.mp4", clip) as writer:
            for part in clip:
                content = part.content
                writer.write(part if content is None else replace(part, stylized=255 - content))

    def shown(folder: Path) -> dict[str, str]:
        # Of the same frames x264's threads do not always make the same bytes.
        assert {path.name for path in folder.iterdir() if not is_unfinished(path.name)} == {
            "notes.txt",
            "out.mp4",
        }
        with av.open(str(folder / "out.mp4")) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        likeness = np.corrcoef([frames[0].ravel(), photo(32, 32, seed=0).ravel()])[0, 1]
        return {path.name: "" for path in folder.iterdir()} | {
            "out.mp4": f"{len(frames)} frames, {'old' if likeness > 0 else 'new'}"
        }

    befall(folder, run, capsys, contents=shown)


def test_what_batch_puts_on_a_disk_is_there_whole_or_not_at_all(folder: Path, capsys) -> None:
    pytest.importorskip("pyarrow", reason="Arrow is an optional extra")
    from fast_style.batch.stores import open_store

    (folder / "broken.csv").write_text("of an earlier run")
    store, path = open_store(str(folder))

    def run() -> None:
        store.write(f"{path}/deep/a.jpg", b"a picture")
        store.write(f"{path}/broken.csv", b"of this one")

    befall(folder, run, capsys)


def test_a_training_whose_disk_is_full_says_so_and_goes_on_to_the_same_weights(
    config: Config, trained_model: Path, capsys
) -> None:
    model_folder = config.model_folder
    fault = Fault(1, errno.ENOSPC)

    def in_the_second_checkpoint(operation: str, path: str) -> None:
        if operation == "write" and (model_folder / "checkpoints" / "00000002.npz").exists():
            fault(operation, path)

    with struck(model_folder, in_the_second_checkpoint):
        status, said = outcome(lambda: train(config), capsys)
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert status == 2 and "Traceback" not in said
    assert line.startswith(f"error: {model_folder}/checkpoints/00000004.npz: cannot be written: ")
    assert not [name for name in contents(model_folder) if is_unfinished(name)]
    train(config)
    assert_trained_like(model_folder, trained_model)


def assert_trained_like(folder: Path, other: Path) -> None:
    one, same = (read_arrays(each / "weights.npz") for each in (folder, other))
    assert one.keys() == same.keys()
    for name in same:
        assert one[name].tobytes() == same[name].tobytes(), name


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_standard_output_is_told_in_one_line(tmp_path: Path) -> None:
    code = "from fast_style.command_line import exit_on_user_error as run; run(lambda: print('a'))"
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 2
    assert ended.stderr == f"error: {os.strerror(errno.ENOSPC)}\n"


# The order in which a disk learns of a file


def test_a_checkpoint_has_no_name_before_its_bytes_are_on_the_disk(folder: Path) -> None:
    done: list[str] = []
    checkpoint = folder / "checkpoints" / "00000004.npz"

    def record(operation: str, path: str) -> None:
        place = Path(path)
        done.append(f"{operation} {'TEMPORARY' if is_unfinished(place.name) else place.name}")
        assert checkpoint.exists() == (done[-2:] == ["replace TEMPORARY", "fsync checkpoints"])

    with struck(folder, record):
        Checkpoint(4, 1.0, "float32", {}, NOTES, {"network/a": np.zeros(1000)}).save(folder, 2)
    flushed, named = done.index("fsync TEMPORARY"), done.index("replace TEMPORARY")
    last_write = len(done) - 1 - done[::-1].index("write TEMPORARY")
    assert last_write < flushed < named
    assert done[named + 1 :] == ["fsync checkpoints"]


def test_an_older_checkpoint_goes_only_after_the_newer_one_is_on_the_disk(folder: Path) -> None:
    done: list[str] = []
    for step in (2, 4):
        checkpoint = Checkpoint(step, 1.0, "float32", {}, NOTES, {"network/a": np.zeros(3)})
        with struck(folder, lambda operation, path: done.append(f"{operation} {Path(path).name}")):
            checkpoint.save(folder, keep=1)
    assert done[-2:] == ["fsync checkpoints", "unlink 00000002.npz"]


# Files that vanish


def test_a_picture_that_vanishes_before_it_is_read_is_named_and_the_others_are_made(
    folder: Path, trained_model: Path, photo: Photo, tmp_path: Path, monkeypatch, capsys
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "abc":
        write_picture(photos / f"{name}.png", Picture(photo(16, 16)))
    stylizer = stylize_files_module.Stylizer

    def loaded_and_one_gone(*arguments: Any) -> Any:
        (photos / "b.png").unlink()
        return stylizer(*arguments)

    monkeypatch.setattr(stylize_files_module, "Stylizer", loaded_and_one_gone)
    how = {"runtime": "tensorflow", "precision": "float32"}
    model = str(trained_model)
    assert stylize_files_module.stylize_files(model, [str(photos)], folder / "out", **how) == 1
    assert f"error: {photos}/b.png: no such file" in capsys.readouterr().err.splitlines()
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a-tiny.png", "c-tiny.png"]


@pytest.mark.usefixtures("eagerly")
def test_a_training_goes_on_where_folders_of_its_are_deleted(config: Config, monkeypatch) -> None:
    step = Trainer.train_step

    def deleted_at_3(self: Trainer, batch: Batch) -> dict[str, float]:
        if self.step == 3:
            for gone in ("checkpoints", "logs"):
                shutil.rmtree(config.model_folder / gone)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", deleted_at_3)
    train(config)
    newest = newest_checkpoint(config.model_folder)
    assert newest is not None and newest.step == 6
    assert (config.model_folder / "result.json").exists()


# Clocks


def test_a_training_is_the_same_whichever_way_the_clock_jumps(
    config: Config, trained_model: Path, monkeypatch
) -> None:
    clock = itertools.cycle([1.7e9, 0.0, 4e9, 1.6e9])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    train(config)
    assert_trained_like(config.model_folder, trained_model)
    assert json.loads((config.model_folder / "result.json").read_text())["seconds"] < 1000


# Two at once

OWNER = """
import sys
from pathlib import Path
from fast_style.training.lock import training_lock
with training_lock(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def owner(config: Config) -> Iterator[subprocess.Popen]:
    """Another process that has the model folder of `config`."""
    command = [sys.executable, "-c", OWNER, str(config.model_folder)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "has it\n"
        yield process
        process.kill()


@pytest.mark.parametrize("restart", [False, True])
def test_a_second_training_of_a_folder_is_refused_and_names_the_first(
    restart: bool, config: Config, owner: subprocess.Popen, capsys
) -> None:
    folder = config.model_folder
    before = contents(folder)
    status, said = outcome(lambda: train(config, restart=restart), capsys)
    assert status == 2
    assert said.splitlines()[-1].startswith(f"error: {folder}: process {owner.pid} on ")
    assert contents(folder) == before
    owner.kill()
    owner.wait()
    assert (folder / LOCK).exists()  # a dead owner's, which nobody has to remove
    with training_lock(folder):
        assert f"process {os.getpid()} " in (folder / LOCK).read_text()


def test_an_owner_that_ends_lets_the_next_one_in(config: Config, owner: subprocess.Popen) -> None:
    owner.communicate("")
    with training_lock(config.model_folder):
        pass
    assert contents(config.model_folder) == {}


def test_a_file_system_without_locks_is_told_and_trained_on(folder: Path, monkeypatch, caplog):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no flock")

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with caplog.at_level(logging.WARNING, logger="absl"), training_lock(folder):
        pass
    assert f"{folder}: cannot be locked" in caplog.text


def test_what_another_training_wrote_meanwhile_is_not_mixed_with_this_one(
    config: Config, trained_model: Path, monkeypatch
) -> None:
    begun = Trainer.__init__

    def late(self: Trainer, *rest: Any, **more: Any) -> None:
        begun(self, *rest, **more)
        shutil.copytree(trained_model, config.model_folder)

    monkeypatch.setattr(Trainer, "__init__", late)
    with pytest.raises(UserError, match="another training has written into it"):
        train(config)
    assert contents(config.model_folder) == contents(trained_model)


def test_two_evals_into_one_file_leave_one_whole_result(
    folder: Path, trained_model: Path, photo: Photo, tmp_path: Path
) -> None:
    sizes = [(48, 32), (32, 48)]
    for number, size in enumerate(sizes):
        write_picture(tmp_path / f"{number}.png", Picture(photo(*size)))
    common = ["eval.py", "--model", str(trained_model), "--output", str(folder / "out.png")]
    both = [
        subprocess.Popen(
            [sys.executable, *common, "--image", str(tmp_path / f"{number}.png")],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(2)
    ]
    assert [process.wait() for process in both] == [0, 0]
    assert read_picture(folder / "out.png").rgb.shape[:2] in sizes
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "out.png"]


def test_many_writers_of_one_file_never_show_half_of_it(folder: Path) -> None:
    whole = [bytes([number]) * 200_000 for number in range(4)]
    target = folder / "out"
    write_atomically(target, whole[0])

    def write(data: bytes) -> None:
        for _ in range(10):
            write_atomically(target, data)

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, data) for data in whole]
        while not all(one.done() for one in writing):
            assert target.read_bytes() in whole
        for one in writing:
            one.result()
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "out"]

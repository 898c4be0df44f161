"""Pictures and weights at the ends of what there is: is any output not a number.

    python -m tests.stress.extreme_numbers --model pretrained/candy

Flat, black, white, one-pixel and noisy pictures through networks whose weights are as trained, or
nothing, or as large and as small as are read, in TensorFlow and OpenVINO, in float32 and bfloat16;
then trainings with weights of 1e12 in the conf, which either end with finite
weights or are stopped before a checkpoint is spoiled.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fast_style.conf.conf_file import config_from_mapping
from fast_style.errors import UserError
from fast_style.hardware import DTYPE_POLICIES
from fast_style.model_folder.model import Model, build_network, read_model
from fast_style.model_folder.npz import LARGEST_WEIGHT, read_arrays

PRECISIONS = ("float32", "bfloat16")
OUTPUTS = ("tanh", "scaled_tanh", "linear")
# Terms of the objective and rates at which a training is tried.
EXTREMES: dict[str, dict] = {
    "as it is": {},
    "content_weight 1e12": {"content_weight": 1e12},
    "style_weight 1e12": {"style_weight": 1e12},
    "style_weight 1e30": {"style_weight": 1e30},
    "tv_weight 1e12": {"tv_weight": 1e12},
    "all of them 1e12": {"content_weight": 1e12, "style_weight": 1e12, "tv_weight": 1e12},
    "all of them 0": {"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0},
    "range and grid 1e12": {"range_weight": 1e12, "grid_weight": 1e12, "output": "linear"},
    "learning_rate 1e30": {"learning_rate": 1e30},
    "learning_rate 1e-30": {"learning_rate": 1e-30},
    "relative terms": {"style_normalization": "relative", "content_normalization": "relative"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("pretrained/candy"))
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args()
    model = read_model(args.model)
    wrong, passes = [], 0
    for name, extreme in networks(model).items():
        for runtime, precision, run in runs(extreme):
            for picture, rgb in pictures().items():
                stylized = run(rgb)
                passes += 1
                if stylized.shape != rgb.shape or not np.isfinite(stylized).all():
                    wrong.append(f"{name}, {runtime} {precision}: {picture}")
        print(f"{passes} passes, {len(wrong)} not finite: {name}", flush=True)
    print(f"{passes} passes, {len(wrong)} with NaN or Inf")
    ended, stopped = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, values in EXTREMES.items():
            for flat in (False, True):
                folder = Path(scratch) / f"{ended + stopped}"
                said = trained(folder, flat, args.steps, values)
                if said is None:
                    ended += 1
                else:
                    stopped += 1
                print(f"{name}, {'flat' if flat else 'other'} pictures: {said or 'ended'}")
                wrong += [f"{name}: {path}" for path in spoiled(folder)]
    print(f"{ended + stopped} trainings: {ended} ended, {stopped} were stopped, as told")
    print("\n".join(wrong) or "nothing that is not a number")
    return 1 if wrong else 0


def pictures() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    flat = {
        f"{value} at {height} x {width}": np.full((height, width, 3), value, np.uint8)
        for value in (0, 128, 255)
        for height, width in ((1, 1), (1, 40), (40, 1), (64, 48))
    }
    return flat | {"noise": noise, "black or white": (noise > 127).astype(np.uint8) * 255}


def networks(model: Model) -> dict[str, Model]:
    """The model with other weights, or with another last layer."""

    def like(change: Callable[[str, np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: np.asarray(change(name, array.astype(np.float32)), np.float32)
            for name, array in model.arrays.items()
        }

    changes: dict[str, Callable[[str, np.ndarray], np.ndarray]] = {
        "as trained": lambda name, a: a,
        "nothing": lambda name, a: np.zeros_like(a),
        "all 1e4": lambda name, a: np.full_like(a, LARGEST_WEIGHT, np.float32),
        "all -1e4": lambda name, a: np.full_like(a, -LARGEST_WEIGHT, np.float32),
        "largest 1e4": lambda name, a: a * np.float32(LARGEST_WEIGHT / max(np.abs(a).max(), 1e-9)),
        "all 1e-30": lambda name, a: np.full(a.shape, 1e-30),
        "the least there is": lambda name, a: np.full(a.shape, 1e-45),
    }
    return {
        f"{words}, {output}": Model(model.conf | {"output": output}, like(change), model.source)
        for words, change in changes.items()
        for output in OUTPUTS
    }


def runs(model: Model) -> Iterator[tuple[str, str, Callable[[np.ndarray], np.ndarray]]]:
    """Runtime, precision, and (H, W, 3) uint8 to what the network gives, before it is rounded."""
    for precision in PRECISIONS:
        network = build_network(model, DTYPE_POLICIES[precision])

        def in_tensorflow(rgb: np.ndarray, network=network) -> np.ndarray:
            return np.asarray(network(rgb[None].astype(np.float32)), np.float32)[0]

        yield "TensorFlow", precision, in_tensorflow
        yield "OpenVINO", precision, unrounded(model, precision)


def unrounded(model: Model, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    """The OpenVINO network before it is clipped, rounded and made bytes, which would hide NaN."""
    import openvino

    from fast_style.network.architecture import BORDER
    from fast_style.runtimes.openvino_network import OpenVinoNetwork, compile_for_cpu

    network = OpenVinoNetwork(model.arrays, model.architecture, precision).network
    end = network.get_results()[0].input_value(0)
    while end.get_element_type() != openvino.Type.f32 or end.get_node().get_type_name() in (
        "Clamp",
        "Round",
        "Slice",
        "Transpose",
    ):
        end = end.get_node().input_value(0)
    run = compile_for_cpu(openvino.Model([end], network.get_parameters()), precision)

    def through(rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        found = run([rgb[None]])[0][0]
        if found.shape[0] == 3:
            found = found.transpose(1, 2, 0)
        return found[BORDER : BORDER + height, BORDER : BORDER + width]

    return through


def trained(folder: Path, flat: bool, steps: int, values: dict) -> str | None:
    """None where the training ended, else what it was stopped with."""
    from fast_style.pictures.images import Picture, write_picture
    from fast_style.training.loop import train

    folder.mkdir(parents=True)
    for name in ("style", "content"):
        rgb = pictures()["128 at 64 x 48" if flat else "noise"]
        write_picture(folder / f"{name}.png", Picture(rgb))
    conf = {
        "style_image": str(folder / "style.png"),
        "naming": "extreme",
        "model_path": str(folder),
        "loss_model": "vgg_16_half",
        "dataset": str(folder / "content.png"),
        "image_size": 32,
        "batch_size": 1,
        "steps": steps,
        "checkpoint_every": 1,
        "preview_images": [],
        "precision": "float32",
    }
    try:
        train(config_from_mapping(conf | values, "extreme"))
    except UserError as error:
        return str(error).removeprefix(f"{folder}/")
    return None


def spoiled(folder: Path) -> list[Path]:
    """Checkpoints and weights that are not finite."""
    return [
        path
        for path in folder.rglob("*.npz")
        if not all(
            np.isfinite(array).all()
            for array in read_arrays(path).values()
            if array.dtype.kind == "f"
        )
    ]


if __name__ == "__main__":
    sys.exit(main())

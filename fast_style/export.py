"""A trained network in the formats that other programs run."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from fast_style.checkpoints import copy_model, load_network
from fast_style.errors import UserError

PARITY_SIZES = ((64, 64), (61, 87), (1, 5))
MOST_GREY_LEVELS_OFF = 1
JPEG_QUALITY = 95


def export(model_folder: Path, output: Path, style: str | None = None) -> float:
    """Write the model as a SavedModel folder, checked against the network; returns the parity.

    style: of a model of several, a name or a mix such as 'candy=0.6,wave=0.4'.
    conf, weights and result come along, so that the exported folder is a model folder too.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"--output {output}: is there already; name a new or an empty folder")
    network = load_network(model_folder, style=style)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as temporary:
            unfinished = Path(temporary) / "model"
            unfinished.mkdir()
            parity = write_saved_model(network, unfinished)
            copy_model(model_folder, unfinished, style)
            unfinished.replace(output)
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written: {error.strerror}") from error
    return parity


def write_saved_model(network, folder: Path) -> float:
    """Put a SavedModel of a float32 transformer network into `folder`; returns its parity.

    Signatures:
    serving_default: pictures (N, H, W, 3) float32 RGB 0..255 to stylized, the same.
    serving_uint8: pictures (N, H, W, 3) uint8 to stylized, the same.
    serving_bytes: image_bytes (N,) encoded pictures to stylized_bytes (N,), JPEG for JPEG, else
    PNG.
    The parity is the largest difference from the network in grey levels, over odd sizes too.
    Raises RuntimeError, leaving the folder as it was, where it is above one grey level.
    """
    import keras
    import tensorflow as tf

    shape = (None, None, None, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])  # traced once for all three
    def stylize(pictures):
        return tf.clip_by_value(network(pictures), 0.0, 255.0)

    def stylize_uint8(pictures):
        stylized = stylize(tf.cast(pictures, tf.float32))
        return {"stylized": tf.cast(tf.round(stylized), tf.uint8)}

    def stylize_bytes(image_bytes):
        def one(encoded):
            picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
            stylized = stylize_uint8(picture[None])["stylized"][0]
            return tf.cond(
                tf.io.is_jpeg(encoded),
                lambda: tf.io.encode_jpeg(stylized, quality=JPEG_QUALITY),
                lambda: tf.io.encode_png(stylized),
            )

        stylized = tf.map_fn(one, image_bytes, fn_output_signature=tf.string)
        return {"stylized_bytes": stylized}

    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serving_default",
        lambda pictures: {"stylized": stylize(pictures)},
        [tf.TensorSpec(shape, tf.float32, name="pictures")],
    )
    archive.add_endpoint(
        "serving_uint8", stylize_uint8, [tf.TensorSpec(shape, tf.uint8, name="pictures")]
    )
    archive.add_endpoint(
        "serving_bytes", stylize_bytes, [tf.TensorSpec((None,), tf.string, name="image_bytes")]
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        try:
            archive.write_out(temporary, verbose=False)
        except (OSError, tf.errors.OpError) as error:
            raise UserError(f"{folder}: no SavedModel can be written there: {error}") from error
        parity = _parity(network, temporary)
        for name in ("variables", "assets", "fingerprint.pb", "saved_model.pb"):
            new, old = Path(temporary) / name, folder / name
            if old.is_dir():
                shutil.rmtree(old)
            if new.exists():
                new.replace(old)
    return parity


def _parity(network, saved_model: str) -> float:
    import tensorflow as tf

    serve = tf.saved_model.load(saved_model).signatures["serving_default"]
    rng = np.random.default_rng(0)
    worst = 0.0
    for height, width in PARITY_SIZES:
        pictures = rng.uniform(0, 255, (1, height, width, 3)).astype(np.float32)
        expected = np.clip(np.asarray(network(pictures)), 0, 255)
        difference = np.abs(serve(pictures=tf.constant(pictures))["stylized"] - expected)
        worst = max(worst, float(difference.max()))
    if worst > MOST_GREY_LEVELS_OFF:
        raise RuntimeError(f"the SavedModel is {worst:.2f} grey levels off the network")
    return worst

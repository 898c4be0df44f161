"""TensorFlow's SavedModel, which TensorFlow Serving takes as it is."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fast_style.errors import UserError
from fast_style.export.formats import ExportOptions, Run
from fast_style.files import flush
from fast_style.model_folder.layout import UNFINISHED_SAVED_MODEL
from fast_style.model_folder.model import Model, copy_model

GRAPH = "saved_model.pb"


def write(model: Model, network, path: Path, options: ExportOptions) -> None:
    """A SavedModel that is a model folder too: conf, weights and result come along."""
    path.mkdir()
    write_saved_model(network, path)
    copy_model(model, path)


def tensorflow_finds(saved_model: Path) -> bool:
    """Whether TensorFlow loads a SavedModel from that path, which it takes for a glob."""
    return "[" not in str(saved_model)


def load(path: Path, pixels: str) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    name = "serving_uint8" if pixels == "uint8" else "serving_default"
    signature = loaded.signatures[name]
    return lambda pictures: signature(pictures=tf.constant(pictures))["stylized"].numpy()


def write_saved_model(network, folder: Path) -> None:
    """Put a SavedModel of a float32 transformer network into `folder`.

    Signatures:
    serving_default: pictures (N, H, W, 3) float32 RGB 0..255 to stylized, the same.
    serve: the same, as a call with one tensor that returns one; keras.layers.TFSMLayer's default.
    serving_uint8: pictures (N, H, W, 3) uint8 to stylized, the same.
    serving_bytes: image_bytes (N,) encoded pictures to stylized_bytes (N,), JPEG for JPEG, else
    PNG; encoded_pictures says what is read.
    Raises UserError, leaving the folder as it was, where it cannot be written.
    """
    import keras
    import tensorflow as tf

    from fast_style.export import encoded_pictures

    shape = (None, None, None, 3)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])  # traced once for all three
    def stylize(pictures):
        return tf.clip_by_value(network(pictures), 0.0, 255.0)

    def stylize_uint8(pictures):
        stylized = stylize(tf.cast(pictures, tf.float32))
        return {"stylized": tf.cast(tf.round(stylized), tf.uint8)}

    def stylize_bytes(image_bytes):
        def one(encoded):
            rgba = encoded_pictures.decode(encoded)
            stylized = stylize_uint8(rgba[None, ..., :3])["stylized"][0]
            with_alpha = tf.concat([stylized, rgba[..., 3:]], -1)
            return encoded_pictures.encode(with_alpha, tf.io.is_jpeg(encoded))

        stylized = tf.map_fn(one, image_bytes, fn_output_signature=tf.string)
        return {"stylized_bytes": stylized}

    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", stylize, [tf.TensorSpec(shape, tf.float32, name="pictures")])
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
    with tempfile.TemporaryDirectory(dir=folder, prefix=UNFINISHED_SAVED_MODEL) as temporary:
        try:
            with _functions_as_graphs():
                archive.write_out(temporary, verbose=False)
        except (OSError, tf.errors.OpError) as error:
            # Less its names of nodes and operations.
            reason = re.sub(r"\{\{.*?\}\}| \[Op:.*", "", str(error)).strip()
            raise UserError(f"{folder}: no SavedModel can be written there: {reason}") from error
        flush(Path(temporary))
        # saved_model.pb goes first and comes last: without it there is no SavedModel, so whenever
        # this is stopped there is none rather than a mixture of two.
        (folder / GRAPH).unlink(missing_ok=True)
        for name in ("variables", "assets", "fingerprint.pb", GRAPH):
            new, old = Path(temporary) / name, folder / name
            if old.is_dir():
                shutil.rmtree(old)
            if new.exists():
                new.replace(old)


@contextlib.contextmanager
def _functions_as_graphs() -> Iterator[None]:
    """Trace functions also where tf.config.run_functions_eagerly was asked for, to debug."""
    import tensorflow as tf

    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eagerly)

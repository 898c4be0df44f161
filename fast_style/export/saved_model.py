"""TensorFlow's SavedModel, for TensorFlow Serving and Keras."""

import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from fast_style.errors import UserError
from fast_style.export.formats import ExportOptions, Run
from fast_style.files import flush
from fast_style.model_folder.layout import UNFINISHED_SAVED_MODEL
from fast_style.model_folder.model import Model, copy_model

GRAPH = "saved_model.pb"


def write(model: Model, network, path: Path, options: ExportOptions) -> None:
    """Writes a SavedModel that is also a model folder, with conf, weights and result."""
    path.mkdir()
    write_saved_model(network, path)
    copy_model(model, path)


def tensorflow_finds(saved_model: Path) -> bool:
    """Whether TensorFlow can load a SavedModel from that path. It takes the path for a glob."""
    return "[" not in str(saved_model)


def load(path: Path, pixels: str) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    name = "serving_uint8" if pixels == "uint8" else "serving_default"
    signature = loaded.signatures[name]
    return lambda pictures: signature(pictures=tf.constant(pictures))["stylized"].numpy()


def write_saved_model(network, folder: Path) -> None:
    """Writes a SavedModel of a float32 transformer network into `folder`.

    Signatures:
    serving_default: pictures (N, H, W, 3) float32 RGB 0..255 to stylized, the same.
    serve: the same, as a call with one tensor that returns one; keras.layers.TFSMLayer's default.
    serving_uint8: pictures (N, H, W, 3) uint8 to stylized, the same.
    serving_bytes: image_bytes (N,), picture files as in encoded_pictures, to stylized_bytes (N,),
    JPEG for JPEG and PNG for the others.
    Raises UserError if it cannot be written, and leaves the folder as it was.
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
            with contextlib.ExitStack() as stack:
                # Functions are traced here even when TensorFlow runs them eagerly for debugging.
                stack.callback(tf.config.run_functions_eagerly, tf.config.functions_run_eagerly())
                tf.config.run_functions_eagerly(False)
                archive.write_out(temporary, verbose=False)
        except (OSError, tf.errors.OpError) as error:
            # Without TensorFlow's names of nodes and operations.
            reason = re.sub(r"\{\{.*?\}\}| \[Op:.*", "", str(error)).strip()
            raise UserError(f"{folder}: a SavedModel cannot be written: {reason}") from error
        flush(Path(temporary))
        # saved_model.pb is removed first and put in place last. Without it there is no SavedModel,
        # so stopping this at any time leaves none, and never a mixture of two.
        (folder / GRAPH).unlink(missing_ok=True)
        for name in ("variables", "assets", "fingerprint.pb", GRAPH):
            new, old = Path(temporary) / name, folder / name
            if old.is_dir():
                shutil.rmtree(old)
            if new.exists():
                new.replace(old)

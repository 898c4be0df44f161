"""Hashes of what is downloaded: Keras's VGG weights and TFDS's data sets (style images have theirs
in test_style_image)."""

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from keras.src.applications import vgg16
from keras.src.backend import config as keras_config

from fast_style.errors import UserError
from fast_style.loss.vgg_weights import read_weights
from fast_style.pictures.training_pictures.tfds_pictures import open_tfds

WEIGHTS = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
BYTES = b"no weights" * 1000


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server of this machine; `data.h5` there holds BYTES."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.h5").write_bytes(BYTES)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: str) -> Path:
    """Where Keras keeps VGG16's weights, which it fetches from the server here."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path / "keras"))
    monkeypatch.setattr(vgg16, "WEIGHTS_PATH_NO_TOP", f"{served}/data.h5")
    (tmp_path / "keras" / "models").mkdir(parents=True)
    return tmp_path / "keras" / "models" / WEIGHTS


def test_other_weights_than_keras_publishes_are_refused(kept: Path) -> None:
    for _ in range(2):  # also where the file of the first download is still there
        with pytest.raises(UserError, match=r"'imagenet' cannot be fetched .*corrupt"):
            read_weights("vgg_16", "imagenet")
    kept.write_bytes(BYTES)
    with pytest.raises(UserError, match=r"'imagenet' cannot be fetched .*corrupt"):
        read_weights("vgg_16", "imagenet")


@pytest.mark.parametrize(
    ("recorded", "said"),
    [(BYTES, None), (b"another file", "[Cc]hecksum"), (None, "Missing checksums")],
)
def test_a_data_set_is_prepared_from_files_of_the_recorded_hash_alone(
    recorded: bytes | None,
    said: str | None,
    served: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"{served}/data.h5"

    class Fetched(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        url_infos = {} if recorded is None else {url: _recorded(recorded)}

        def _info(self):
            features = tfds.features.FeaturesDict({"image": tfds.features.Image()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            assert Path(dl_manager.download(url)).read_bytes() == BYTES
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"image": np.zeros((4, 4, 3), np.uint8)}

    # No look-up of ready-made data over the network.
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
    monkeypatch.setattr(tfds, "builder", lambda name, **options: Fetched(**options))
    if said is None:
        assert len(open_tfds("fetched", "train", str(tmp_path / "tfds"), download=True)) == 1
    else:
        with pytest.raises(UserError, match=f"dataset: fetched: .*{said}"):
            open_tfds("fetched", "train", str(tmp_path / "tfds"), download=True)


def _recorded(content: bytes) -> Any:
    return tfds.download.checksums.UrlInfo(
        size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename="data.h5"
    )

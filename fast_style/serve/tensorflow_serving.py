"""Requests and answers of TensorFlow Serving's REST API (its documentation, "RESTful API").

Pictures come as encoded bytes, {"b64": "..."}, and are answered so, or as arrays of RGB 0..255 and
are answered as arrays: the SavedModel's signatures serving_bytes, serving_uint8, serving_default
and serve.
"""

import base64
import json
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fast_style.errors import UserError
from fast_style.pictures.images import Picture, encode_picture

BYTES, UINT8, FLOAT, SERVE = "serving_bytes", "serving_uint8", "serving_default", "serve"
INPUTS = {BYTES: "image_bytes", UINT8: "pictures", FLOAT: "pictures", SERVE: "pictures"}
OUTPUTS = {BYTES: "stylized_bytes", UINT8: "stylized", FLOAT: "stylized", SERVE: "output_0"}
FLOATS = (FLOAT, SERVE)
JPEG = b"\xff\xd8"
VERSION = "1"
WARNING = "x-fast-style-warning"  # a header of answers
MOST_PICTURES = 256  # of a request; each takes 20 ms, however few pixels it has


@dataclass(frozen=True)
class Prediction:
    """What a predict request asks for."""

    pictures: list[Any]  # bytes, or (H, W, 3) float32 arrays, 0..255
    signature: str
    by_row: bool  # 'instances' and 'predictions', or else 'inputs' and 'outputs'
    max_value: int  # white, in the arrays of the request and of the answer

    @property
    def warning(self) -> str | None:
        """What is probably not as it was meant."""
        arrays = [one for one in self.pictures if isinstance(one, np.ndarray)]
        if self.max_value == 255 and any(_is_in_0_to_1(one) for one in arrays):
            return (
                "a picture has values in 0..1 alone, in 0..255 nearly black; max_value=1 is white"
            )
        return None


def read_prediction(body: bytes, max_value: int = 255) -> Prediction:
    """max_value: 255, or 1 for arrays of 0..1. Raises UserError for a wrong request."""
    try:
        request = json.loads(body, strict=False)  # base64's own line breaks need no escape
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise UserError("the body has to be an object with either 'instances' or 'inputs'")
    by_row = "instances" in request
    given = _without_name(request["instances"] if by_row else request["inputs"])
    given = given if isinstance(given, list) else [given]
    if not given:
        raise UserError("there are no pictures in the request")
    if len(given) > MOST_PICTURES:
        raise UserError(f"{len(given):,} pictures; a request has at most {MOST_PICTURES}")
    given = [_without_name(one) for one in given]
    encoded = [isinstance(one, dict | str) for one in given]
    if any(encoded) and not all(encoded):
        raise UserError("pictures have to be all encoded or all arrays")
    found = BYTES if encoded[0] else FLOAT
    signature = request.get("signature_name") or found
    if not isinstance(signature, str) or signature not in INPUTS:
        raise UserError(f"signature_name: unknown {signature!r}; one of {', '.join(INPUTS)}")
    if (signature == BYTES) != encoded[0]:
        raise UserError(f"{signature} takes {'encoded pictures' if not encoded[0] else 'arrays'}")
    if max_value != 255 and signature not in FLOATS:
        raise UserError(f"max_value={max_value}: is for arrays of {' and '.join(FLOATS)} alone")
    pictures = [_picture(one, max_value) for one in given]
    return Prediction(pictures, signature, by_row, max_value)


def write_prediction(prediction: Prediction, stylized: Iterable[Picture]) -> dict:
    """The answer: bytes as {"b64": ...}, arrays as lists, whole numbers for serving_uint8."""

    def value(given: bytes | np.ndarray, picture: Picture) -> Any:
        if isinstance(given, bytes):
            encoded = encode_picture(picture, ending_like(given))
            return {"b64": base64.b64encode(encoded).decode()}
        if prediction.signature == UINT8:
            return picture.rgb.tolist()
        return (picture.rgb * np.float32(prediction.max_value / 255)).tolist()

    values = list(map(value, prediction.pictures, stylized))
    return {"predictions" if prediction.by_row else "outputs": values}


def ending_like(encoded: bytes) -> str:
    """The ending of the format in which a picture is sent back."""
    return ".jpg" if encoded.startswith(JPEG) else ".png"


def status() -> dict:
    """That a model is there; of GET /v1/models/NAME."""
    good = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": VERSION, "state": "AVAILABLE", "status": good}]}


def metadata(name: str) -> dict:
    """Of GET /v1/models/NAME/metadata: the signatures that the exported SavedModel has."""
    dtypes = {BYTES: "DT_STRING", UINT8: "DT_UINT8", FLOAT: "DT_FLOAT", SERVE: "DT_FLOAT"}

    def tensor(signature: str, named: str) -> dict:
        sizes = ["-1"] if signature == BYTES else ["-1", "-1", "-1", "3"]
        shape = {"dim": [{"size": size, "name": ""} for size in sizes], "unknown_rank": False}
        return {named: {"dtype": dtypes[signature], "tensor_shape": shape, "name": named}}

    definitions = {
        signature: {
            "inputs": tensor(signature, INPUTS[signature]),
            "outputs": tensor(signature, OUTPUTS[signature]),
            "method_name": "tensorflow/serving/predict",
        }
        for signature in INPUTS
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


def _without_name(given: Any) -> Any:
    """The value in an object such as {"image_bytes": value}; anything else as it is."""
    if not isinstance(given, dict) or "b64" in given:
        return given
    if len(given) != 1 or next(iter(given)) not in INPUTS.values():
        raise UserError(f"inputs are named {' or '.join(sorted(set(INPUTS.values())))}")
    return next(iter(given.values()))


def _is_in_0_to_1(picture: np.ndarray) -> bool:
    """And not of whole numbers, which a black picture and a mask have."""
    return bool(picture.max() <= 1 and (picture % 1).any())


def _picture(given: Any, max_value: int) -> Any:
    if isinstance(given, str):
        raise UserError('a picture is {"b64": "..."} or an array; a text is neither')
    if isinstance(given, dict):
        return _from_base64(given["b64"])
    try:
        array = np.asarray(given, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"a picture is no array of numbers: {error}") from None
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise UserError(f"a picture has shape {array.shape}; (height, width, 3) is wanted")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > max_value:
        raise UserError(f"a picture has values outside 0..{max_value}")
    return array if max_value == 255 else array * np.float32(255 / max_value)


def _from_base64(text: Any) -> bytes:
    """As TensorFlow Serving (absl::Base64Unescape): white space counts nowhere, nor does padding.

    Raises UserError for all else that is not base64.
    """
    if not isinstance(text, str):
        raise UserError(f"b64: is not base64: {type(text).__name__} in place of a text")
    try:
        digits = text.encode("ascii").translate(None, string.whitespace.encode()).rstrip(b"=")
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError as error:  # binascii.Error and UnicodeEncodeError, too
        raise UserError(f"b64: is not base64: {error}") from None

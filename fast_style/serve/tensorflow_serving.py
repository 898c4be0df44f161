"""Requests and answers of TensorFlow Serving's REST API (its documentation, "RESTful API").

A request has either encoded pictures, {"b64": "..."}, or arrays of RGB 0..255, and so has its
answer. The signatures are those of the SavedModel.
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
SIGNATURES = {  # the dtype of each, the name of its input and that of its output
    BYTES: ("DT_STRING", "image_bytes", "stylized_bytes"),
    UINT8: ("DT_UINT8", "pictures", "stylized"),
    FLOAT: ("DT_FLOAT", "pictures", "stylized"),
    SERVE: ("DT_FLOAT", "pictures", "output_0"),
}
FLOATS = (FLOAT, SERVE)
INPUT_NAMES = ("image_bytes", "pictures")
VERSION = "1"
WARNING = "x-fast-style-warning"  # a header of answers
MOST_PICTURES = 256  # in a request; each takes 20 ms, however few pixels it has


@dataclass(frozen=True)
class Prediction:
    """A predict request."""

    pictures: list[Any]  # bytes, or (H, W, 3) float32 arrays, 0..255
    signature: str
    by_row: bool  # 'instances' and 'predictions', or else 'inputs' and 'outputs'
    max_value: int  # white, in the arrays of the request and of the answer

    @property
    def warning(self) -> str | None:
        """A message if an array in 0..1 was probably sent as one in 0..255."""
        if self.max_value == 255 and any(map(_has_fractions_in_0_to_1, self.pictures)):
            return "a picture has only values in 0..1: nearly black; max_value=1 is for 0..1"
        return None


def read_prediction(body: bytes, max_value: int = 255) -> Prediction:
    """Returns the request in a body. Raises UserError for a wrong one.

    max_value: the value of white in arrays, 255 or 1.
    """
    try:
        request = json.loads(body, strict=False)  # base64's own line breaks need no escape
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise UserError("the body must be an object with either 'instances' or 'inputs'")
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
        raise UserError("pictures must be all encoded or all arrays")
    found = BYTES if encoded[0] else FLOAT
    signature = request.get("signature_name") or found
    if not isinstance(signature, str) or signature not in SIGNATURES:
        raise UserError(f"signature_name: unknown {signature!r}; one of {', '.join(SIGNATURES)}")
    if (signature == BYTES) != encoded[0]:
        raise UserError(f"{signature} takes {'encoded pictures' if not encoded[0] else 'arrays'}")
    if max_value != 255 and signature not in FLOATS:
        raise UserError(f"max_value={max_value}: is only for arrays of {' and '.join(FLOATS)}")
    pictures = [_picture(one, max_value) for one in given]
    return Prediction(pictures, signature, by_row, max_value)


def write_prediction(prediction: Prediction, stylized: Iterable[Picture]) -> dict:
    """Returns the answer: {"b64": ...} for encoded pictures, lists for arrays.

    The lists have whole numbers for serving_uint8, and otherwise floats of 0..max_value.
    """

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
    """Returns the ending of the format in which an encoded picture is answered."""
    return ".jpg" if encoded.startswith(b"\xff\xd8") else ".png"


def status() -> dict:
    """Returns the answer to GET /v1/models/NAME: the model is available."""
    good = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": VERSION, "state": "AVAILABLE", "status": good}]}


def metadata(name: str) -> dict:
    """Returns the answer to GET /v1/models/NAME/metadata: the signatures of the SavedModel."""

    def tensor(dtype: str, named: str) -> dict:
        sizes = ["-1"] if dtype == "DT_STRING" else ["-1", "-1", "-1", "3"]
        shape = {"dim": [{"size": size, "name": ""} for size in sizes], "unknown_rank": False}
        return {named: {"dtype": dtype, "tensor_shape": shape, "name": named}}

    definitions = {
        signature: {
            "inputs": tensor(dtype, input_name),
            "outputs": tensor(dtype, output_name),
            "method_name": "tensorflow/serving/predict",
        }
        for signature, (dtype, input_name, output_name) in SIGNATURES.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


def _without_name(given: Any) -> Any:
    """Returns the value of an object such as {"image_bytes": value}, and all else unchanged."""
    if not isinstance(given, dict) or "b64" in given:
        return given
    if len(given) != 1 or not given.keys() <= set(INPUT_NAMES):
        raise UserError(f"an input must be named {' or '.join(INPUT_NAMES)}")
    return next(iter(given.values()))


def _has_fractions_in_0_to_1(picture: bytes | np.ndarray) -> bool:
    """Whether it is an array in 0..1 with fractions. A black picture and a mask have none."""
    if not isinstance(picture, np.ndarray):
        return False
    return bool(picture.max() <= 1 and (picture % 1).any())


def _picture(given: Any, max_value: int) -> Any:
    if isinstance(given, str):
        raise UserError('a picture must be {"b64": "..."} or an array, not a string')
    if isinstance(given, dict):
        return _from_base64(given["b64"])
    try:
        array = np.asarray(given, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"a picture is not an array of numbers: {error}") from None
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise UserError(f"a picture has shape {array.shape}; it must be (height, width, 3)")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > max_value:
        raise UserError(f"a picture has values outside 0..{max_value}")
    return array if max_value == 255 else array * np.float32(255 / max_value)


def _from_base64(text: Any) -> bytes:
    """Returns the bytes in base64 text, as TensorFlow Serving does (absl::Base64Unescape).

    White space may be anywhere and padding may be missing. Raises UserError if it is not base64.
    """
    if not isinstance(text, str):
        raise UserError(f"b64: is not base64: {type(text).__name__} instead of a string")
    try:
        digits = text.encode("ascii").translate(None, string.whitespace.encode()).rstrip(b"=")
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError as error:  # also binascii.Error and UnicodeEncodeError
        raise UserError(f"b64: is not base64: {error}") from None

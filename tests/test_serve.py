"""The server: TensorFlow Serving's REST API, plain pictures, limits, and what Prometheus reads."""

import base64
import gc
import gzip
import io
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the server is an optional extra")
pytest.importorskip("httpx2")

import httpx2
from PIL import Image
from starlette.testclient import TestClient

from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError
from fast_style.pictures.images import Picture, decode_picture, encode_picture
from fast_style.serve.app import application
from fast_style.serve.limits import Limits
from fast_style.serve.models import MIXES_KEPT, Models
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer
from tests.conftest import Photo


@pytest.fixture(scope="module")
def models(trained_model: Path) -> Models:
    return Models([trained_model], precision="float32")


@pytest.fixture(scope="module")
def client(models: Models):
    with TestClient(application(models), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def stylizer(trained_model: Path) -> Stylizer:
    return Stylizer(trained_model, precision="float32")


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """To a grey level, by which a network that is compiled for one size rounds otherwise."""
    np.testing.assert_allclose(found.astype(int), wanted.astype(int), atol=1)


def png(rgb: np.ndarray) -> bytes:
    return encode_picture(Picture(rgb), ".png")


def b64(encoded: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(encoded).decode()}


def test_a_model_is_there_as_tensorflow_serving_says_it(client: TestClient) -> None:
    for path in ("/v1/models/tiny", "/v1/models/tiny/versions/1"):
        [version] = client.get(path).json()["model_version_status"]
        assert version["state"] == "AVAILABLE" and version["status"]["error_code"] == "OK"


def test_the_metadata_are_those_of_the_saved_model(client: TestClient, trained_model: Path) -> None:
    import tensorflow as tf

    told = client.get("/v1/models/tiny/metadata").json()
    assert told["model_spec"]["name"] == "tiny"
    definitions = told["metadata"]["signature_def"]["signature_def"]
    signatures = tf.saved_model.load(str(trained_model)).signatures
    assert set(definitions) == set(signatures)
    for name, definition in definitions.items():
        _, given = signatures[name].structured_input_signature
        [(input_name, entry)] = definition["inputs"].items()
        dtype = given[input_name].dtype.name.upper().replace("FLOAT32", "FLOAT")
        assert entry["dtype"] == f"DT_{dtype}"
        assert set(definition["outputs"]) == set(signatures[name].structured_outputs)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_encoded_pictures_come_back_encoded(
    client: TestClient, stylizer: Stylizer, photo: Photo, key: str, named: bool
) -> None:
    pictures = [photo(20, 31), photo(33, 9, seed=1)]
    given: Any = [b64(png(rgb)) for rgb in pictures]
    if named and key == "instances":
        given = [{"image_bytes": one} for one in given]
    elif named:
        given = {"image_bytes": given}
    body = {key: given, "signature_name": "serving_bytes"}
    answer = client.post("/v1/models/tiny:predict", json=body).json()
    found = answer["predictions" if key == "instances" else "outputs"]
    for one, rgb in zip(found, pictures, strict=True):
        stylized = decode_picture(base64.b64decode(one["b64"]), "answer").rgb
        assert_same(stylized, stylizer(rgb))


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.rstrip("="),
        lambda text: text + "==",
        lambda text: "\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\n",
        lambda text: "\r\n\t " + " ".join(text),
    ],
    ids=["no padding", "too much padding", "lines", "white space"],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_base64_is_read_as_tensorflow_serving_does(
    client: TestClient, photo: Photo, written: Callable[[str], str], escaped: bool
) -> None:
    encoded = png(photo(5, 7))
    encoded += bytes((1 - len(encoded)) % 3)  # so that two characters of padding belong to it
    text = base64.b64encode(encoded).decode()
    assert text.endswith("==")
    body = json.dumps({"instances": [{"b64": text}]})
    wanted = client.post("/v1/models/tiny:predict", content=body)
    other = json.dumps(written(text)) if escaped else f'"{written(text)}"'
    found = client.post("/v1/models/tiny:predict", content=body.replace(f'"{text}"', other))
    assert found.status_code == 200 and found.json() == wanted.json()


@pytest.mark.parametrize("signature", ["serving_default", "serve", "serving_uint8", None])
def test_arrays_come_back_as_arrays(
    client: TestClient, stylizer: Stylizer, photo: Photo, signature: str | None
) -> None:
    rgb = photo(7, 5)
    body: dict[str, Any] = {"instances": [rgb.tolist()]}
    if signature:
        body["signature_name"] = signature
    [found] = client.post("/v1/models/tiny/versions/1:predict", json=body).json()["predictions"]
    assert_same(np.asarray(found), stylizer(rgb))
    assert isinstance(found[0][0][0], int if signature == "serving_uint8" else float)


def test_arrays_in_0_to_1_are_no_black_pictures(
    client: TestClient, stylizer: Stylizer, photo: Photo
) -> None:
    rgb = photo(6, 5)
    predict, name = "/v1/models/tiny:predict", "x-fast-style-warning"
    for signature in ("serving_default", "serve"):
        body = {"instances": [(rgb / 255).tolist()], "signature_name": signature}
        answer = client.post(f"{predict}?max_value=1", json=body)
        assert name not in answer.headers
        assert_same(np.asarray(answer.json()["predictions"][0]) * 255, stylizer(rgb))
    warned = client.post(predict, json=body)
    assert warned.status_code == 200 and "max_value=1" in warned.headers[name]
    black, mask, dark = np.zeros_like(rgb), rgb > 128, rgb / 100
    for picture in (rgb, black, mask.astype(float), dark):
        assert name not in client.post(predict, json={"instances": [picture.tolist()]}).headers
    for body in (
        {"instances": [b64(png(rgb))]},
        {"instances": [mask.astype(int).tolist()], "signature_name": "serving_uint8"},
        {"instances": [rgb.tolist()]},
    ):
        assert client.post(f"{predict}?max_value=1", json=body).status_code == 400


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("max_value=2", "max_value: 2 is not one of 255, 1"),
        ("max_value=x", "max_value: x is not one of 255, 1"),
        ("strength=1", "unknown parameter 'strength'"),
    ],
)
def test_a_wrong_parameter_of_a_prediction_is_named(
    client: TestClient, query: str, said: str
) -> None:
    body = {"instances": [[[[1, 2, 3]]]]}
    answer = client.post(f"/v1/models/tiny:predict?{query}", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is not JSON"),
        (b"[1]", "an object with either 'instances' or 'inputs'"),
        (b'{"instances": [], "inputs": []}', "either 'instances' or 'inputs'"),
        (b'{"instances": []}', "there are no pictures"),
        (b'{"instances": [{"b64": "!!"}]}', "b64: is not base64"),
        (b'{"instances": [{"b64": 3}]}', "b64: is not base64"),
        (b'{"instances": [{"b64": "YQ=YQ="}]}', "b64: is not base64"),
        (b'{"instances": [{"b64": "YWJjZ"}]}', "b64: is not base64"),
        (b'{"instances": [{"b64": "_-_-"}]}', "b64: is not base64"),
        (b'{"instances": ["text"]}', "not a string"),
        (b'{"instances": [{"b64": "YWJj"}]}', "the picture: is not a JPEG"),
        (b'{"instances": [{"picture": 1}]}', "must be named image_bytes or pictures"),
        (b'{"instances": [[1, 2]]}', "it must be (height, width, 3)"),
        (b'{"instances": [[[[1, 2, 256]]]]}', "values outside 0..255"),
        (b'{"instances": [[[[1, 2, NaN]]]]}', "values outside 0..255"),
        (b'{"instances": [[[["a", 2, 3]]]]}', "not an array of numbers"),
        (b'{"instances": [[[[1, 2, 3]]]], "signature_name": "x"}', "signature_name: unknown 'x'"),
        (
            b'{"instances": [[[[1, 2, 3]]]], "signature_name": "serving_bytes"}',
            "serving_bytes takes encoded pictures",
        ),
    ],
)
def test_a_bad_request_is_told_in_words(client: TestClient, body: bytes, said: str) -> None:
    answer = client.post("/v1/models/tiny:predict", content=body)
    assert answer.status_code == 400 and said in answer.json()["error"]


def test_a_plain_picture_in_either_way(
    client: TestClient, stylizer: Stylizer, photo: Photo
) -> None:
    rgb = photo(24, 30)
    query = "strength=0.5&preserve_color=true&max_size=20&scale=1.5"
    one = client.post(f"/stylize/tiny?{query}", content=png(rgb))
    form = dict(pair.split("=") for pair in query.split("&"))
    other = client.post("/stylize/tiny", files={"picture": ("a.png", png(rgb))}, data=form)
    how = Stylization(strength=0.5, preserve_color=True, max_size=20, scale=1.5)
    wanted = stylizer.stylize(Picture(rgb), how)
    for answer in (one, other):
        assert answer.headers["content-type"] == "image/png"
        assert_same(decode_picture(answer.content, "answer").rgb, wanted.rgb)
    jpeg = client.post("/stylize/tiny", content=encode_picture(Picture(rgb), ".jpg"))
    assert jpeg.headers["content-type"] == "image/jpeg"


def test_a_format_and_its_quality_can_be_asked_for(
    client: TestClient, stylizer: Stylizer, photo: Photo
) -> None:
    picture = Picture(photo(40, 50), photo(40, 50, seed=1)[..., 0])
    wanted = stylizer.stylize(picture)

    def ask(query: str, given: bytes) -> bytes:
        answer = client.post(f"/stylize/tiny?{query}", content=given)
        assert answer.status_code == 200
        kind = Image.open(io.BytesIO(answer.content)).format
        assert answer.headers["content-type"] == f"image/{str(kind).lower()}"
        return answer.content

    for ending in (".png", ".jpg"):
        given = encode_picture(picture, ending)
        for query, start in (
            ("format=png", b"\x89PNG"),
            ("format=jpeg", b"\xff\xd8"),
            ("format=JPG", b"\xff\xd8"),
            ("format=webp", b"RIFF"),
            ("", b"\x89PNG" if ending == ".png" else b"\xff\xd8"),
        ):
            assert ask(query, given).startswith(start)
    given = png(picture.rgb)
    for file_format in ("jpeg", "webp"):
        sizes = [len(ask(f"format={file_format}&quality={q}", given)) for q in (5, 40, 95, 100)]
        assert sizes == sorted(sizes) and len(set(sizes)) == 4
        assert len(ask(f"format={file_format}", given)) == sizes[2]
    with_alpha = decode_picture(ask("format=webp", encode_picture(picture, ".png")), "webp")
    np.testing.assert_array_equal(with_alpha.alpha, wanted.alpha)
    assert len(ask("quality=5", encode_picture(picture, ".jpg"))) < 2000


def test_truths_are_written_as_programs_write_them(client: TestClient, photo: Photo) -> None:
    given = png(photo(12, 10))

    def stylized(text: str) -> bytes:
        answer = client.post(f"/stylize/tiny?preserve_color={text}", content=given)
        assert answer.status_code == 200
        return answer.content

    yes, no = stylized("true"), stylized("false")
    assert yes != no
    assert {stylized(text) for text in ("True", "TRUE", "1")} == {yes}
    assert {stylized(text) for text in ("False", "0")} == {no}


def test_a_body_may_be_compressed(client: TestClient, photo: Photo) -> None:
    body = json.dumps({"instances": [b64(png(photo(20, 24)))]}).encode() + b" " * 3_000_000
    wanted = client.post("/v1/models/tiny:predict", content=body)
    half = len(body) // 2
    members = gzip.compress(body[:half]) + gzip.compress(b"") + gzip.compress(body[half:])
    for encoding, packed in (
        ("gzip", gzip.compress(body)),
        ("GZIP", gzip.compress(body, 0)),
        ("x-gzip", members + bytes(3)),
        ("gzip", iter(members[at : at + 7] for at in range(0, len(members), 7))),
        ("identity", body),
    ):
        headers = {"content-encoding": encoding}
        found = client.post("/v1/models/tiny:predict", content=packed, headers=headers)
        assert found.status_code == 200 and found.json() == wanted.json()
    form = httpx2.Request("POST", "http://x", files={"picture": ("a.png", png(photo(5, 5)))})
    headers = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}
    found = client.post("/stylize/tiny", content=gzip.compress(form.read()), headers=headers)
    assert found.status_code == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status", "said"),
    [
        ("gzip", b"no gzip", 400, "the body is not valid gzip"),
        ("gzip", b"", 400, "is empty"),
        ("gzip", gzip.compress(b"a" * 100, mtime=0)[:-1], 400, "ended before the end-of-stream"),
        ("gzip", gzip.compress(b"a", mtime=0) + b"more", 400, "the body is not valid gzip"),
        (
            "gzip",
            gzip.compress(b"a", mtime=0)[:-4] + b"\2\0\0\0",
            400,
            "the body is not valid gzip",
        ),
        ("gzip, gzip", gzip.compress(b"a", mtime=0), 415, "gzip, gzip is not supported"),
        ("br", b"a", 415, "content-encoding: br is not supported"),
    ],
)
def test_a_body_that_is_not_as_its_encoding_says_is_refused(
    client: TestClient, encoding: str, body: bytes, status: int, said: str
) -> None:
    headers = {"content-encoding": encoding}
    answer = client.post("/stylize/tiny", content=body, headers=headers)
    assert answer.status_code == status and said in answer.json()["error"]
    assert status == 400 or answer.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("strength=2", "strength: 2 is not between 0 and 1"),
        ("max_size=0", "max_size: 0 is not at least 1"),
        ("preserve_color=maybe", "preserve_color: maybe is not one of true, false, 1, 0"),
        ("format=gif", "format: gif is not one of png, jpeg, webp"),
        ("format=jpeg&quality=101", "quality: 101 is not between 1 and 100"),
        ("format=webp&quality=0", "quality: 0 is not between 1 and 100"),
        ("format=webp&quality=9.5", "quality: 9.5 is not between 1 and 100"),
        ("scale=0.4", "scale: 0.4 is not at least 0.5"),
        ("scale=twice", "scale: 'twice' is not a number"),
        ("strength=0,5", "strength: '0,5' is not a number"),
        ("max_size=9.5", "max_size: '9.5' is not a whole number"),
        ("quality=80", "quality: PNG has no quality"),
        ("strength=0.3&strength=0.5", "strength: is given twice"),
        ("strenght=1", "unknown parameter 'strenght'; nearest: strength"),
    ],
)
def test_a_wrong_parameter_is_named(
    client: TestClient, photo: Photo, query: str, said: str
) -> None:
    answer = client.post(f"/stylize/tiny?{query}", content=png(photo(5, 5)))
    assert answer.status_code == 400 and said.split(";")[0] in answer.json()["error"]


def test_a_parameter_is_in_the_query_or_in_the_form(client: TestClient, photo: Photo) -> None:
    files = {"picture": ("a.png", png(photo(5, 5)))}
    answer = client.post("/stylize/tiny?strength=1", files=files, data={"strength": "0.5"})
    assert answer.status_code == 400 and "strength: is given twice" in answer.json()["error"]


def test_an_unknown_model_is_answered_with_those_there_are(client: TestClient) -> None:
    for method, path in (
        ("GET", "/v1/models/tinny"),
        ("GET", "/v1/models/tinny/metadata"),
        ("POST", "/v1/models/tinny:predict"),
        ("POST", "/stylize/..%2Ftiny"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 404
        if "%2F" not in path:
            assert "tiny" in answer.json()["error"].split(";")[1]


def test_too_much_is_413(models: Models, photo: Photo) -> None:
    app = application(models, Limits(body_bytes=3000, pixels=200))
    with TestClient(app) as client:
        long = client.post("/stylize/tiny", content=b"x" * 3001)
        unannounced = client.post("/stylize/tiny", content=iter([b"x" * 2000, b"x" * 2000]))
        wide = client.post("/stylize/tiny", content=png(np.zeros((10, 21, 3), np.uint8)))
        array = np.zeros((10, 21, 3), int).tolist()
        raw = client.post("/v1/models/tiny:predict", content=json.dumps({"instances": [array]}))
    assert [a.status_code for a in (long, unannounced, wide, raw)] == [413] * 4
    assert "at most 3,000 bytes" in long.json()["error"]
    assert "at most 200 are read" in wide.json()["error"]


def test_small_strokes_count_the_pixels_that_the_network_sees(models: Models, photo: Photo) -> None:
    with TestClient(application(models, Limits(pixels=40_000))) as client:
        same = client.post("/stylize/tiny?scale=1", content=png(photo(100, 100)))
        smaller = client.post("/stylize/tiny?scale=0.5", content=png(photo(100, 100)))
        shrunk = client.post("/stylize/tiny?scale=0.5&max_size=50", content=png(photo(100, 100)))
    assert [a.status_code for a in (same, smaller, shrunk)] == [200, 413, 200]
    assert "200x200" in smaller.json()["error"]


def test_a_full_queue_is_429_and_what_was_taken_is_finished(
    models: Models, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(name: str, mix: str | None):
        begun.set()
        go_on.wait(30)
        return Models.stylizer(models, name, mix)

    monkeypatch.setattr(models, "stylizer", slow)
    answers: list[int] = []
    with TestClient(application(models, Limits(capacity=1))) as client:

        def ask() -> None:
            answers.append(client.post("/stylize/tiny", content=png(photo(8, 8))).status_code)

        first = threading.Thread(target=ask)
        first.start()
        assert begun.wait(30)
        refused = client.post("/stylize/tiny", content=png(photo(8, 8)))
        assert client.get("/healthz").json() == {"status": "ok"}  # it answers meanwhile
        waiting = client.get("/metrics").text
        go_on.set()
        first.join()
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
    assert answers == [200] and "fast_style_waiting 1.0" in waiting


def test_an_error_of_the_server_shows_nothing_of_it(
    models: Models, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str, mix: str | None):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(models, "stylizer", broken)
    with TestClient(application(models), raise_server_exceptions=False) as client:
        answer = client.post("/stylize/tiny", content=png(photo(8, 8)))
        assert answer.status_code == 500 and "secret" not in answer.text
        counted = 'fast_style_requests_total{path="/stylize",status="500"} 1.0'
        assert counted in client.get("/metrics").text


def test_requests_are_counted_by_path_and_status(models: Models) -> None:
    with TestClient(application(models)) as client:
        for path in ("/v1/models/tiny", "/v1/models/a", "/v1/models/b", "/x1", "/x2"):
            client.get(path)
        told = client.get("/metrics").text
    assert 'fast_style_requests_total{path="/v1",status="200"} 1.0' in told
    assert 'fast_style_requests_total{path="/v1",status="404"} 2.0' in told
    assert 'fast_style_requests_total{path="other",status="404"} 2.0' in told
    assert 'fast_style_request_seconds_count{path="/v1"} 3.0' in told


def test_the_page_and_its_pictures_are_there(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200 and "fast-style" in page.text
    assert "http" not in page.text.replace("http-equiv", "")  # nothing from elsewhere
    for name in ("page.css", "page.js"):
        assert client.get(f"/page/{name}").status_code == 200
    [style] = client.get("/styles").json()
    assert style["name"] == "tiny"
    sample = decode_picture(client.get("/styles/tiny.jpg").content, "sample").rgb
    assert max(sample.shape) == 240
    assert client.get("/page/../app.py").status_code == 404


def test_a_model_in_the_current_folder_has_the_folders_name(
    trained_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained_model)
    assert list(Models([Path(".")]).styles) == [trained_model.name]


def test_styles_of_several_have_their_own_names(several: Path, trained_model: Path) -> None:
    models = Models([several, trained_model])
    assert list(models.styles) == ["tiny", "candy", "wave", "scream"]
    assert models.stylizer("wave") is models.stylizer("wave")


@pytest.fixture(scope="module")
def mixable(several: Path) -> Models:
    return Models([several, PROJECT / "pretrained" / "candy"], precision="float32")


@pytest.fixture(scope="module")
def mixing(mixable: Models) -> Iterator[TestClient]:
    with TestClient(application(mixable), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("mix", ["candy:0.6,wave:0.4", "candy=0.6,wave=0.4", "wave"])
def test_styles_of_a_folder_are_mixed(
    mixing: TestClient, several: Path, photo: Photo, mix: str
) -> None:
    rgb, params = photo(21, 30), {"style": mix}
    stylizer = Stylizer(several, "auto", "float32", mix.replace(":", "="))
    wanted = stylizer(rgb)
    files = {"picture": ("a.png", png(rgb))}
    for answer in (
        mixing.post("/stylize/several", params=params, content=png(rgb)),
        mixing.post("/stylize/several", data=params, files=files),
    ):
        assert answer.status_code == 200
        assert_same(decode_picture(answer.content, "answer").rgb, wanted)
    body = {"instances": [rgb.tolist()]}
    found = mixing.post("/v1/models/several:predict", params=params, json=body).json()
    assert_same(np.asarray(found["predictions"][0]), wanted)


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        ("several", "", "several has several styles; style= takes one of "),
        ("several", "?style=candi:1", "style candi=1: there is no 'candi'"),
        ("several", "?style=candy:much", "style candy=much: 'much' is not a number"),
        ("several", "?style=candy:0", "shares must be at least 0"),
        ("several", "?style=", "there is no ''"),
        ("candy", "?style=wave", "style=wave: candy has one style; several can be mixed"),
    ],
)
def test_a_mix_that_is_none_is_told(
    mixing: TestClient, photo: Photo, name: str, query: str, said: str
) -> None:
    body = json.dumps({"instances": [b64(png(photo(5, 5)))]})
    for path, content in (
        (f"/stylize/{name}", png(photo(5, 5))),
        (f"/v1/models/{name}:predict", body),
    ):
        answer = mixing.post(path + query, content=content)
        assert answer.status_code == 400 and said in answer.json()["error"]


def test_a_folder_of_several_is_a_model_and_no_style(mixing: TestClient) -> None:
    assert mixing.get("/v1/models/several").status_code == 200
    assert "several" not in [style["name"] for style in mixing.get("/styles").json()]
    assert mixing.get("/styles/several.jpg").status_code == 400


def test_mixes_do_not_stay_for_ever(mixable: Models) -> None:
    named = mixable.stylizer("candy")
    first = weakref.ref(mixable.stylizer("several", "candy:1,wave:1"))
    again = weakref.ref(mixable.stylizer("several", "candy:1,wave:2"))
    for number in range(MIXES_KEPT - 1):
        mixable.stylizer("several", f"wave:1,scream:{number}")
        mixable.stylizer("several", "candy:1,wave:2")
    gc.collect()
    assert first() is None
    assert mixable.stylizer("several", "candy:1,wave:2") is again()
    assert mixable.stylizer("candy") is named


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folders there"):
        Models([tmp_path])

"""The server as an ASGI application: its routes, and the answer to each request."""

import asyncio
import contextlib
import functools
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fast_style.command_line import at_least_1, factor, unit_interval
from fast_style.conf.locations import PROJECT
from fast_style.errors import UserError, nearest
from fast_style.network.architecture import Architecture
from fast_style.pictures.images import (
    Picture,
    TooManyPixels,
    decode_picture,
    encode_picture,
    read_picture,
)
from fast_style.pictures.masks import check_proportions, decode_mask
from fast_style.pictures.pixels import fit_within, to_uint8
from fast_style.serve import tensorflow_serving as serving
from fast_style.serve.access import HEALTH, Access
from fast_style.serve.limits import BodyLimit, Limits
from fast_style.serve.metrics import Metrics
from fast_style.serve.models import Models
from fast_style.serve.work_queue import Result, WorkQueue
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer, TooLarge

PAGE = Path(__file__).parent / "page"
SAMPLE = PROJECT / "img" / "sample.jpg"
SAMPLE_SIZE = 240
QUALITY = 95  # of JPEG and WebP
ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "jpg": ".jpg"}  # by names of formats
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
MOST_CHARACTERS = 300  # of an error message, which repeats the wrong value: it may be megabytes
CLIENT_CLOSED_REQUEST = 499  # nginx's status; only the metrics show it
FEW_PIXELS = 1_000_000  # after a request with more, a network releases the memory that it keeps

Reader = Callable[[str], Any]


class Pictures:
    """Decodes the pictures of one request and limits their pixels, all pictures together.

    The size of a body is no such limit: a few bytes can encode any number of pixels.
    """

    def __init__(self, most_pixels: int, architecture: Architecture):
        self.most_pixels = most_pixels
        self.architecture = architecture
        self.pixels = 0

    def picture(self, given: bytes | np.ndarray) -> Picture:
        """Returns an encoded picture, or an (H, W, 3) array of 0..255, as a Picture.

        Raises UserError for a wrong picture, and TooManyPixels.
        """
        if isinstance(given, bytes):
            left = self.most_pixels - self.pixels
            picture = decode_picture(given, "the picture", most_pixels=left)
        else:
            picture = Picture(to_uint8(given))
        self._count(picture.rgb)
        return picture

    def mask(self, encoded: bytes, picture: Picture) -> np.ndarray:
        """Returns the mask of `picture`. Raises UserError for a wrong mask, and TooManyPixels."""
        mask = decode_mask(encoded, "the mask", most_pixels=self.most_pixels - self.pixels)
        self._count(mask)
        check_proportions(mask, *picture.rgb.shape[:2])
        return mask

    def check_size(self, height: int, width: int) -> None:
        """Raises TooManyPixels if the network may not see a picture of this size."""
        self._check(self.architecture.pixels_with_border(height, width), height, width)

    def _count(self, pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        self.pixels += self.architecture.pixels_with_border(height, width)
        self._check(self.pixels, height, width)

    def _check(self, pixels: int, height: int, width: int) -> None:
        if pixels > self.most_pixels:
            raise TooManyPixels(
                f"{width}x{height}: the pictures of a request may have {self.most_pixels:,} pixels "
                "together, with the borders that the network adds"
            )


class Server:
    """The handlers of the routes in `application`, one method each."""

    def __init__(self, models: Models, limits: Limits):
        self.models = models
        self.limits = limits
        self.queue = WorkQueue(limits.capacity)
        self._sample = functools.cache(self._stylized_sample)

    async def model(self, request: Request) -> Response:
        self._name(request)
        return JSONResponse(serving.status())

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(serving.metadata(self._name(request)))

    async def predict(self, request: Request) -> Response:
        name = self._name(request)
        asked = _read(request.query_params.multi_items(), PREDICTION)
        mix = self._mix(name, asked)
        body = await request.body()

        def work() -> Response:
            prediction = serving.read_prediction(body, **asked)
            with self._stylizer(name, mix) as (stylizer, decoded):
                # A list, so that all pixels are counted before the first picture is stylized.
                pictures = [decoded.picture(given) for given in prediction.pictures]
                stylized = (_stylized(stylizer, picture) for picture in pictures)
                answer = serving.write_prediction(prediction, stylized)
            warning = prediction.warning
            return JSONResponse(answer, headers={serving.WARNING: warning} if warning else None)

        return await self._done(request, work)

    async def stylize(self, request: Request) -> Response:
        name = self._name(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            encoded, mask, texts = await _read_form(request)
        else:
            encoded, mask, texts = await request.body(), None, []
        asked = _read([*request.query_params.multi_items(), *texts], STYLIZATION)
        mix = self._mix(name, asked)
        ending = asked.pop("format", serving.ending_like(encoded))
        if "quality" in asked and ending == ".png":
            raise UserError("quality: PNG has no quality; it is for format=jpeg and format=webp")
        quality = asked.pop("quality", QUALITY)

        def work() -> bytes:
            with self._stylizer(name, mix) as (stylizer, decoded):
                picture = decoded.picture(encoded)
                if mask is not None:
                    asked["mask"] = decoded.mask(mask, picture)
                how = Stylization(**asked)
                decoded.check_size(*how.size_in_network(*picture.rgb.shape[:2]))
                stylized = _stylized(stylizer, picture, how)
            return encode_picture(stylized, ending, quality)

        return Response(await self._done(request, work), media_type=MEDIA_TYPES[ending])

    async def styles(self, request: Request) -> Response:
        styles = self.models.styles.values()
        return JSONResponse([{"name": one.name, "artwork": one.artwork} for one in styles])

    async def sample(self, request: Request) -> Response:
        name = self._name(request)
        self.models.find(name)
        picture = await self.queue.run(lambda: self._sample(name))
        return Response(picture, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def _name(self, request: Request) -> str:
        name = request.path_params["name"]
        names = [*self.models.styles, *self.models.mixable]
        if name not in names:
            raise HTTPException(404, f"no model {name!r}; {nearest(name, names)}")
        return name

    def _mix(self, name: str, asked: dict[str, Any]) -> str | None:
        """Removes `style` from `asked` and returns it. Raises UserError as Models.find does."""
        mix = asked.pop("style", None)
        self.models.find(name, mix)
        return mix

    async def _done(self, request: Request, work: Callable[[], Result]) -> Result:
        """Runs `work` in the queue. Raises ClientDisconnect as soon as the client disconnects."""
        doing = asyncio.ensure_future(self.queue.run(work))
        gone = asyncio.ensure_future(_disconnection(request))
        try:
            await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise ClientDisconnect
            return doing.result()
        finally:
            doing.cancel()
            gone.cancel()

    @contextlib.contextmanager
    def _stylizer(self, name: str, mix: str | None) -> Iterator[tuple[Stylizer, Pictures]]:
        with _errors_of_the_server():
            stylizer = self.models.stylizer(name, mix)
        pictures = Pictures(self.limits.pixels, stylizer.architecture)
        yield stylizer, pictures
        if pictures.pixels > FEW_PIXELS:
            stylizer.release()

    def _stylized_sample(self, name: str) -> bytes:
        sample = fit_within(read_picture(SAMPLE), SAMPLE_SIZE)
        with self._stylizer(name, None) as (stylizer, _):
            return encode_picture(_stylized(stylizer, sample), ".jpg", quality=85)


def application(
    models: Models, limits: Limits | None = None, access: Access | None = None
) -> Starlette:
    """Returns the ASGI application that serves `models`."""
    limits, access = limits or Limits(), access or Access()
    server = Server(models, limits)
    metrics = Metrics(lambda: server.queue.length)

    async def page(request: Request) -> Response:
        return RedirectResponse("/page/index.html")

    routes = [
        Route("/v1/models/{name:str}/metadata", server.metadata),
        Route("/v1/models/{name:str}/versions/1/metadata", server.metadata),
        Route("/v1/models/{name:str}:predict", server.predict, methods=["POST"]),
        Route("/v1/models/{name:str}/versions/1:predict", server.predict, methods=["POST"]),
        Route("/v1/models/{name:str}/versions/1", server.model),
        Route("/v1/models/{name:str}", server.model),
        Route("/stylize/{name:str}", server.stylize, methods=["POST"]),
        Route("/styles", server.styles),
        Route("/styles/{name:str}.jpg", server.sample),
        Route(HEALTH, server.health),
        Route("/metrics", metrics.endpoint),
        Route("/", page),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    middleware = [
        Middleware(metrics.middleware),
        *access.middleware(),
        Middleware(BodyLimit, limits=limits),
    ]
    exception_handlers = {
        UserError: _handler(400),
        TooManyPixels: _handler(413),
        TooLarge: _handler(413),
        HTTPException: _http_error,
        ClientDisconnect: _handler(CLIENT_CLOSED_REQUEST, "the client has disconnected"),
        Exception: _handler(500, "the server failed; its log has the details"),
    }
    return Starlette(routes=routes, middleware=middleware, exception_handlers=exception_handlers)


async def _read_form(request: Request) -> tuple[bytes, bytes | None, list[tuple[str, str]]]:
    """Returns the picture, the mask if there is one, and the parameters of a form.

    Raises UserError if the form does not hold one picture and at most one mask.
    """
    texts: list[tuple[str, str]] = []
    pictures: list[bytes] = []
    masks: list[bytes] = []
    async with request.form() as form:
        for key, value in form.multi_items():
            if isinstance(value, str):
                texts.append((key, value))
            else:
                (masks if key == "mask" else pictures).append(await value.read())
    if len(pictures) != 1 or len(masks) > 1:
        raise UserError("the form must have one picture, and at most one mask")
    return pictures[0], masks[0] if masks else None, texts


def _read(given: Iterable[tuple[str, str]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Returns the values of the parameters of a query or a form.

    readers: for each parameter the function that reads its text. Raises UserError for a parameter
    that is unknown, given twice, or has a wrong value.
    """
    found: dict[str, Any] = {}
    for key, text in given:
        if key == "mask":
            raise UserError("mask: must be a file of the form, next to the picture")
        if key not in readers:
            raise UserError(f"unknown parameter {key!r}; {nearest(key, readers)}")
        if key in found:
            raise UserError(f"{key}: is given twice")
        try:
            found[key] = readers[key](text)
        except (ValueError, ArgumentTypeError) as error:
            raise UserError(f"{key}: {error}") from None
    return found


def _choice(values: Mapping[str, Any]) -> Reader:
    def read(text: str) -> Any:
        if text.lower() not in values:
            raise ValueError(f"{text} is not one of {', '.join(values)}")
        return values[text.lower()]

    return read


def _quality(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise ValueError(f"{text} is not between 1 and 100")


# The parameters of requests. Most are arguments of Stylization and read_prediction.
STYLIZATION: dict[str, Reader] = {
    "strength": unit_interval,
    "preserve_color": _choice({"true": True, "false": False, "1": True, "0": False}),
    "max_size": at_least_1,
    "scale": factor,
    "style": str,
    "format": _choice(ENDINGS),
    "quality": _quality,
}
PREDICTION: dict[str, Reader] = {
    "max_value": _choice({"255": 255, "1": 1, "255.0": 255, "1.0": 1}),
    "style": str,
}


def _stylized(stylizer: Stylizer, picture: Picture, how: Stylization = Stylization()) -> Picture:
    with _errors_of_the_server():
        return stylizer.stylize(picture, how)


@contextlib.contextmanager
def _errors_of_the_server() -> Iterator[None]:
    """Turns a UserError of the network into an answer 500: it names files of this machine."""
    try:
        yield
    except TooLarge:
        raise
    except UserError as error:
        raise RuntimeError(str(error)) from error


async def _disconnection(request: Request) -> None:
    """Returns when the client has disconnected. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _handler(status: int, message: str | None = None) -> Callable[[Request, Exception], Response]:
    """Returns an exception handler that answers with `message`, or else the exception's."""
    return lambda request, error: _error(status, message or str(error))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, error.headers)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    message = " ".join(message.split())
    if len(message) > MOST_CHARACTERS:
        message = f"{message[:MOST_CHARACTERS]}..."
    return JSONResponse({"error": message}, status, headers)

"""The server as an ASGI application: its routes, and the answer to each request."""

import asyncio
import contextlib
import functools
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
from fast_style.serve.limits import BodyLimit
from fast_style.serve.metrics import Metrics
from fast_style.serve.models import Models
from fast_style.serve.work_queue import QueueFull, Result, WorkQueue
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer, TooLarge

PAGE = Path(__file__).parent / "page"
SAMPLE = PROJECT / "img" / "sample.jpg"
SAMPLE_SIZE = 240
JPEG = b"\xff\xd8"
QUALITY = 95  # of JPEG and WebP
ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "jpg": ".jpg"}  # by names of formats
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
MOST_CHARACTERS = 300  # an error repeats what was wrong, which may be megabytes
CLIENT_CLOSED_REQUEST = 499  # as in nginx; only the metrics show it
FEW_PIXELS = 1_000_000  # after more, a network gives back what it would keep for the next picture

Reader = Callable[[str], Any]


@dataclass(frozen=True)
class Limits:
    """Limits on requests."""

    capacity: int = 64  # of the queue: requests that wait or are worked on
    body_bytes: int = 64_000_000
    bytes_together: int = 512_000_000  # of the bodies of all requests
    body_seconds: float = 60.0
    pixels: int = 50_000_000  # of a request's pictures together, with their borders


class Pixels:
    """Counts the pixels of a request's pictures: a few bytes can claim to be any number of them."""

    def __init__(self, most: int, architecture: Architecture):
        self.most = most
        self.architecture = architecture
        self.taken = 0

    @property
    def left(self) -> int:
        return self.most - self.taken

    def take(self, rgb: np.ndarray) -> None:
        """Raises TooManyPixels."""
        height, width = rgb.shape[:2]
        self.taken += self.architecture.pixels_with_border(height, width)
        if self.left < 0:
            raise TooManyPixels(
                f"{width}x{height}: at most {self.most:,} pixels are taken, of all the pictures of "
                "a request with the borders that they are given"
            )


@dataclass(frozen=True)
class Given:
    """A picture that was sent encoded, and the ending of the format of the answer."""

    picture: Picture
    ending: str


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
            with self._stylizer(name, mix) as (stylizer, pixels):
                # All are counted before the first is worked on.
                given = [self._counted(picture, pixels) for picture in prediction.pictures]
                stylized = [self._predicted(stylizer, prediction.signature, one) for one in given]
            warning = prediction.warning
            headers = {serving.WARNING: warning} if warning else None
            return JSONResponse(serving.write_prediction(prediction, stylized), headers=headers)

        return await self._done(request, work)

    async def stylize(self, request: Request) -> Response:
        name = self._name(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form() as form:
                files = [
                    (key, await value.read())
                    for key, value in form.multi_items()
                    if not isinstance(value, str)
                ]
                masks = [data for key, data in files if key == "mask"]
                pictures = [data for key, data in files if key != "mask"]
                if len(pictures) != 1 or len(masks) > 1:
                    raise UserError("the form has to hold one picture, and at most one mask")
                encoded = pictures[0]
                texts = [
                    (key, value) for key, value in form.multi_items() if isinstance(value, str)
                ]
        else:
            encoded, masks, texts = await request.body(), [], []
        asked = _read([*request.query_params.multi_items(), *texts], STYLIZATION)
        mix = self._mix(name, asked)
        ending = asked.pop("format", _ending_like(encoded))
        if "quality" in asked and ending == ".png":
            raise UserError("quality: PNG has none; format=jpeg and format=webp have one")
        quality = asked.pop("quality", QUALITY)
        how = Stylization(**asked)

        def work() -> bytes:
            with self._stylizer(name, mix) as (stylizer, pixels):
                given = replace(self._decoded(encoded, pixels), ending=ending)
                asked_for = self._with_mask(how, masks[0], given, pixels) if masks else how
                return self._stylized(stylizer, given, asked_for, quality)

        return Response(await self._done(request, work), media_type=MEDIA_TYPES[ending])

    async def styles(self, request: Request) -> Response:
        return JSONResponse(
            [
                {"name": style.name, "artwork": style.artwork}
                for style in self.models.styles.values()
            ]
        )

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
        """Remove `style` from `asked` and return it. Raises UserError as Models.find does."""
        mix = asked.pop("style", None)
        self.models.find(name, mix)
        return mix

    async def _done(self, request: Request, work: Callable[[], Result]) -> Result:
        """Run the work in the queue. Raises ClientDisconnect as soon as the client has gone."""
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
    def _stylizer(self, name: str, mix: str | None) -> Iterator[tuple[Stylizer, Pixels]]:
        with _fault_of_the_server():
            stylizer = self.models.stylizer(name, mix)
        pixels = Pixels(self.limits.pixels, stylizer.architecture)
        yield stylizer, pixels
        if pixels.taken > FEW_PIXELS:
            stylizer.release()

    def _decoded(self, given: bytes, pixels: Pixels) -> Given:
        picture = decode_picture(given, "the picture", most_pixels=pixels.left)
        pixels.take(picture.rgb)
        return Given(picture, _ending_like(given))

    def _with_mask(
        self, how: Stylization, encoded: bytes, given: Given, pixels: Pixels
    ) -> Stylization:
        mask = decode_mask(encoded, "the mask", most_pixels=pixels.left)
        pixels.take(mask)
        check_proportions(mask, *given.picture.rgb.shape[:2])
        return replace(how, mask=mask)

    def _counted(self, given: bytes | np.ndarray, pixels: Pixels) -> Given | np.ndarray:
        if isinstance(given, bytes):
            return self._decoded(given, pixels)
        pixels.take(given)
        return given

    def _stylized(
        self,
        stylizer: Stylizer,
        given: Given,
        how: Stylization = Stylization(),
        quality: int = QUALITY,
    ) -> bytes:
        with _fault_of_the_server():
            stylized = stylizer.stylize(given.picture, how)
        return encode_picture(stylized, given.ending, quality)

    def _predicted(
        self, stylizer: Stylizer, signature: str, given: Given | np.ndarray
    ) -> bytes | np.ndarray:
        if isinstance(given, Given):
            return self._stylized(stylizer, given)
        with _fault_of_the_server():
            stylized = stylizer(to_uint8(given))
        return stylized if signature == serving.UINT8 else stylized.astype(np.float32)

    def _stylized_sample(self, name: str) -> bytes:
        sample = fit_within(read_picture(SAMPLE), SAMPLE_SIZE)
        return encode_picture(Picture(self.models.stylizer(name)(sample.rgb)), ".jpg", quality=85)


def application(
    models: Models, limits: Limits | None = None, access: Access | None = None
) -> Starlette:
    """The ASGI application."""
    limits, access = limits or Limits(), access or Access()
    server = Server(models, limits)
    metrics = Metrics(lambda: server.queue.length)

    @contextlib.asynccontextmanager
    async def until_shutdown(app: Starlette) -> AsyncIterator[None]:
        yield
        server.queue.close()

    async def page(request: Request) -> Response:
        return RedirectResponse("/page/index.html")

    predict = ["POST"]
    routes = [
        Route("/v1/models/{name:str}/metadata", server.metadata),
        Route("/v1/models/{name:str}/versions/1/metadata", server.metadata),
        Route("/v1/models/{name:str}:predict", server.predict, methods=predict),
        Route("/v1/models/{name:str}/versions/1:predict", server.predict, methods=predict),
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
        Middleware(
            BodyLimit,
            most_bytes=limits.body_bytes,
            most_together=limits.bytes_together,
            seconds=limits.body_seconds,
        ),
    ]
    exception_handlers = {
        UserError: error_response(400),
        TooManyPixels: error_response(413),
        TooLarge: error_response(413),
        QueueFull: error_response(
            429, "too many requests are waiting; try again", {"retry-after": "1"}
        ),
        HTTPException: _http_error,
        ClientDisconnect: error_response(CLIENT_CLOSED_REQUEST, "the client is gone"),
        Exception: error_response(500, "an error of the server; its log says which"),
    }
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers=exception_handlers,
        lifespan=until_shutdown,
    )


def _read(given: Iterable[tuple[str, str]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The parameters of a query or a form. Raises UserError for a wrong one."""
    found: dict[str, Any] = {}
    for key, text in given:
        if key == "mask":
            raise UserError("mask: has to be a file of the form, beside the picture")
        if key not in readers:
            raise UserError(f"unknown parameter {key!r}; {nearest(key, readers)}")
        if key in found:
            raise UserError(f"{key}: is given twice")
        try:
            found[key] = readers[key](text)
        except (ValueError, ArgumentTypeError) as error:
            raise UserError(f"{key}: {error}") from None
    return found


def _truth(text: str) -> bool:
    truths = {"true": True, "1": True, "false": False, "0": False}  # Python writes True
    if text.lower() not in truths:
        raise ValueError(f"{text} is neither true nor false")
    return truths[text.lower()]


def _max_value(text: str) -> int:
    for value in serving.LARGEST_VALUES:
        if float(text) == value:
            return value
    raise ValueError(f"{text} is not one of {', '.join(map(str, serving.LARGEST_VALUES))}")


def _ending(text: str) -> str:
    if text.lower() not in ENDINGS:
        raise ValueError(f"{text} is not one of png, jpeg, webp")
    return ENDINGS[text.lower()]


def _quality(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise ValueError(f"{text} is not between 1 and 100")


# The parameters of requests; most have the names of arguments of Stylization and read_prediction.
STYLIZATION: dict[str, Reader] = {
    "strength": unit_interval,
    "preserve_color": _truth,
    "max_size": at_least_1,
    "scale": factor,
    "style": str,
    "format": _ending,
    "quality": _quality,
}
PREDICTION: dict[str, Reader] = {"max_value": _max_value, "style": str}


def _ending_like(encoded: bytes) -> str:
    """The ending of the format in which the stylized picture is sent back."""
    return ".jpg" if encoded.startswith(JPEG) else ".png"


@contextlib.contextmanager
def _fault_of_the_server() -> Iterator[None]:
    """Answer a UserError of the network with 500: its message names files of this machine."""
    try:
        yield
    except TooLarge:
        raise
    except UserError as error:
        raise RuntimeError(str(error)) from error


async def _disconnection(request: Request) -> None:
    """Return when the client has disconnected; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def error_response(
    status: int, message: str | None = None, headers: dict[str, str] | None = None
) -> Any:
    """An exception handler that answers with the message, by default that of the exception."""

    def answer(request: Request, error: Exception) -> Response:
        text = message or _shortened(" ".join(str(error).split()))
        return JSONResponse({"error": text}, status, headers)

    return answer


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": _shortened(error.detail)}, error.status_code, error.headers)


def _shortened(message: str) -> str:
    whole = len(message) <= MOST_CHARACTERS
    return message if whole else f"{message[:MOST_CHARACTERS]}..."

"""The server as an ASGI application: its routes, and the answer to each request."""

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
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
from fast_style.serve.learning import Learning
from fast_style.serve.limits import BodyLimit, Limits
from fast_style.serve.metrics import Metrics
from fast_style.serve.models import Models, Style
from fast_style.serve.own_style_routes import OwnStyleRoutes
from fast_style.serve.own_styles import Conflict, DiskFull, as_painting, calling
from fast_style.serve.parameters import PREDICTION, STYLIZATION, read_body, read_parameters
from fast_style.serve.work_queue import Result, WorkQueue
from fast_style.stylize.stylization import Stylization
from fast_style.stylize.stylizer import Stylizer, TooLarge

PAGE = Path(__file__).parent / "page"
SAMPLE = PROJECT / "img" / "sample.jpg"
SAMPLE_SIZE = 240
QUALITY = 95  # of JPEG and WebP
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
MOST_CHARACTERS = 300  # of an error message, which repeats the wrong value: it may be megabytes
CLIENT_CLOSED_REQUEST = 499  # nginx's status; only the metrics show it
FEW_PIXELS = 1_000_000  # after a request with more, a network releases the memory that it keeps
SAMPLES_KEPT = 256


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
        self._sample = functools.lru_cache(SAMPLES_KEPT)(self._stylized_sample)

    async def model(self, request: Request) -> Response:
        self._name(request)
        return JSONResponse(serving.status())

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(serving.metadata(self._name(request)))

    async def predict(self, request: Request) -> Response:
        name = self._name(request)
        asked = read_parameters(request.query_params.multi_items(), PREDICTION)
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
        body = await read_body(request, "mask", "style")
        asked = read_parameters([*request.query_params.multi_items(), *body.texts], STYLIZATION)
        style_image, mask = body.files.get("style"), body.files.get("mask")
        mix = None
        if style_image is None:
            mix = self._mix(name, asked)
        elif name not in self.models.takes_any:
            names = ", ".join(self.models.takes_any) or "no model here does"
            raise UserError(f"style: {name} does not take a style image; {names}")
        elif "style" in asked:
            raise UserError("style: is given twice")
        ending = asked.pop("format", serving.ending_like(body.picture))
        if "quality" in asked and ending == ".png":
            raise UserError("quality: PNG has no quality; it is for format=jpeg and format=webp")
        quality = asked.pop("quality", QUALITY)
        if protected := asked.pop("protect_faces", 0.0):
            from fast_style.portraits.protection import FaceProtection

            asked["protection"] = FaceProtection(protected)

        def work() -> bytes:
            with self._stylizer(name, mix, style_image) as (stylizer, decoded):
                picture = decoded.picture(body.picture)
                if mask is not None:
                    asked["mask"] = decoded.mask(mask, picture)
                how = Stylization(**asked)
                decoded.check_size(*how.size_in_network(*picture.rgb.shape[:2]))
                stylized = _stylized(stylizer, picture, how)
            return encode_picture(stylized, ending, quality)

        return Response(await self._done(request, work), media_type=MEDIA_TYPES[ending])

    async def styles(self, request: Request) -> Response:
        own = self.models.own_styles()
        names = dict.fromkeys([*self.models.styles, *own])
        found = [self.models.find(name) for name in names]
        return JSONResponse(
            [
                {
                    "name": one.name,
                    "artwork": one.artwork,
                    "own": one.name in own,
                    "version": str(one.version),
                    "mixed_in": self.models.mixing(one.name),
                }
                for one in found
            ]
        )

    async def sample(self, request: Request) -> Response:
        name = self._name(request)
        style = self.models.find(name)
        picture = await self.queue.run(lambda: self._sample(style))
        return Response(picture, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})

    async def features(self, request: Request) -> Response:
        from fast_style.portraits.faces import check_faces_installed

        try:
            check_faces_installed()
        except UserError:
            return JSONResponse({"protect_faces": False})
        return JSONResponse({"protect_faces": True})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def _name(self, request: Request) -> str:
        name = request.path_params["name"]
        models = self.models
        names = [*models.styles, *models.mixable, *models.takes_any, *models.own_styles()]
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
    def _stylizer(
        self, name: str, mix: str | None, style_image: bytes | None = None
    ) -> Iterator[tuple[Stylizer, Pictures]]:
        if style_image is not None:
            stylizer = self._stylizer_of_image(name, style_image)
        else:
            with _errors_of_the_server():
                stylizer = self.models.stylizer(name, mix)
        pictures = Pictures(self.limits.pixels, stylizer.architecture)
        yield stylizer, pictures
        if pictures.pixels > FEW_PIXELS:
            stylizer.release()

    def _stylizer_of_image(self, name: str, style_image: bytes) -> Stylizer:
        painting = as_painting(style_image, "the style image", self.limits.pixels)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "style.png"
            path.write_bytes(painting)
            with calling(path, "the style image"):
                return self.models.stylizer_of_image(name, path)

    def _stylized_sample(self, style: Style) -> bytes:
        sample = fit_within(read_picture(SAMPLE), SAMPLE_SIZE)
        with self._stylizer(style.name, None) as (stylizer, _):
            return encode_picture(_stylized(stylizer, sample), ".jpg", quality=85)


def application(
    models: Models,
    limits: Limits | None = None,
    access: Access | None = None,
    learning: Learning | None = None,
) -> Starlette:
    """Returns the ASGI application that serves `models`.

    learning: learns the styles that people add; None: nobody can add one.
    """
    limits, access = limits or Limits(), access or Access()
    server = Server(models, limits)
    metrics = Metrics(lambda: server.queue.length)
    own_styles = OwnStyleRoutes(models, learning, server.queue, limits)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if learning is not None:
            await asyncio.to_thread(learning.resume)
        yield
        if learning is not None:
            await asyncio.to_thread(learning.close)

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
        *own_styles.routes(),
        Route("/styles", server.styles),
        Route("/styles/{name:str}.jpg", server.sample),
        Route("/features", server.features),
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
        Conflict: _handler(409),
        DiskFull: _handler(507),
        TooManyPixels: _handler(413),
        TooLarge: _handler(413),
        HTTPException: _http_error,
        ClientDisconnect: _handler(CLIENT_CLOSED_REQUEST, "the client has disconnected"),
        Exception: _handler(500, "the server failed; its log has the details"),
    }
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers=exception_handlers,
        lifespan=lifespan,
    )


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

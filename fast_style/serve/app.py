"""The server as an ASGI application: which request is answered with what."""

import contextlib
import functools
import json
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fast_style.command_line import at_least_1, unit_interval
from fast_style.errors import UserError, nearest
from fast_style.locations import PROJECT
from fast_style.pictures.images import (
    Picture,
    TooManyPixels,
    decode_picture,
    encode_picture,
    read_picture,
)
from fast_style.pictures.pixels import fit_within
from fast_style.serve import tensorflow_serving as serving
from fast_style.serve.desk import Desk, Full
from fast_style.serve.limits import BodyLimit
from fast_style.serve.metrics import Metrics
from fast_style.serve.models import Models
from fast_style.stylize import Stylizer

PAGE = Path(__file__).parent / "page"
SAMPLE = PROJECT / "img" / "sample.jpg"
SAMPLE_SIZE = 240
JPEG = b"\xff\xd8"


@dataclass(frozen=True)
class Limits:
    """What one request may take."""

    places: int = 64  # requests that wait or are worked on
    body_bytes: int = 64_000_000
    pixels: int = 50_000_000


class Server:
    """The answers, each a method; `application` says which path leads to which."""

    def __init__(self, models: Models, limits: Limits):
        self.models = models
        self.limits = limits
        self.desk = Desk(limits.places)
        self._sample = functools.cache(self._stylized_sample)

    async def model(self, request: Request) -> Response:
        self._name(request)
        return JSONResponse(serving.status())

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(serving.metadata(self._name(request)))

    async def predict(self, request: Request) -> Response:
        name = self._name(request)
        body = await request.body()

        def work() -> bytes:
            prediction = serving.read_prediction(body)
            stylizer = self.models.stylizer(name)
            stylized = [
                self._predicted(stylizer, prediction.signature, p) for p in prediction.pictures
            ]
            return json.dumps(serving.write_prediction(prediction, stylized)).encode()

        return Response(await self.desk.do(work), media_type="application/json")

    async def stylize(self, request: Request) -> Response:
        name = self._name(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form() as form:
                files = [value for value in form.values() if not isinstance(value, str)]
                if len(files) != 1:
                    raise UserError("the form has to hold one picture")
                encoded = await files[0].read()
                texts = {key: value for key, value in form.items() if isinstance(value, str)}
        else:
            encoded, texts = await request.body(), {}
        how = _how({**request.query_params, **texts})

        def work() -> bytes:
            return self._stylized(self.models.stylizer(name), encoded, **how)

        stylized = await self.desk.do(work)
        kind = "image/jpeg" if stylized.startswith(JPEG) else "image/png"
        return Response(stylized, media_type=kind)

    async def styles(self, request: Request) -> Response:
        return JSONResponse(
            [
                {"name": style.name, "artwork": style.artwork}
                for style in self.models.styles.values()
            ]
        )

    async def sample(self, request: Request) -> Response:
        name = self._name(request)
        picture = await self.desk.do(lambda: self._sample(name))
        return Response(picture, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def _name(self, request: Request) -> str:
        name = request.path_params["name"]
        if name not in self.models.styles:
            raise HTTPException(404, f"no model {name!r}; {nearest(name, self.models.styles)}")
        return name

    def _stylized(self, stylizer: Stylizer, encoded: bytes, **how: Any) -> bytes:
        picture = decode_picture(encoded, "the picture", most_pixels=self.limits.pixels)
        ending = ".jpg" if encoded.startswith(JPEG) else ".png"
        return encode_picture(stylizer.stylize(picture, **how), ending)

    def _predicted(self, stylizer: Stylizer, signature: str, given: Any) -> bytes | np.ndarray:
        if signature == serving.BYTES:
            return self._stylized(stylizer, given)
        height, width = given.shape[:2]
        if height * width > self.limits.pixels:
            raise TooManyPixels(
                f"{width}x{height}: at most {self.limits.pixels:,} pixels are taken"
            )
        stylized = stylizer(np.rint(given).astype(np.uint8))
        return stylized if signature == serving.UINT8 else stylized.astype(np.float32)

    def _stylized_sample(self, name: str) -> bytes:
        sample = fit_within(read_picture(SAMPLE), SAMPLE_SIZE)
        return encode_picture(Picture(self.models.stylizer(name)(sample.rgb)), ".jpg", quality=85)


def application(models: Models, limits: Limits | None = None) -> Starlette:
    """The ASGI application."""
    limits = limits or Limits()
    server = Server(models, limits)
    metrics = Metrics(lambda: server.desk.taken)

    @contextlib.asynccontextmanager
    async def until_shutdown(app: Starlette) -> AsyncIterator[None]:
        yield
        server.desk.close()

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
        Route("/healthz", server.health),
        Route("/metrics", metrics.endpoint),
        Route("/", page),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    app = Starlette(
        routes=routes,
        lifespan=until_shutdown,
        exception_handlers={
            UserError: _told(400),
            TooManyPixels: _told(413),
            Full: _told(429, "too many requests are waiting; try again", {"retry-after": "1"}),
            HTTPException: _http_error,
            Exception: _told(500, "an error of the server; its log says which"),
        },
    )
    app.add_middleware(BodyLimit, most_bytes=limits.body_bytes)
    app.add_middleware(metrics.middleware)
    return app


def _how(given: Mapping[str, str]) -> dict[str, Any]:
    """Stylizer.stylize's arguments from a query or a form. Raises UserError for a wrong one."""
    readers: dict[str, Callable[[str], Any]] = {
        "strength": unit_interval,
        "preserve_color": _truth,
        "max_size": at_least_1,
        "scale": at_least_1,
    }
    how = {}
    for key, text in given.items():
        if key not in readers:
            raise UserError(f"unknown parameter {key!r}; {nearest(key, readers)}")
        try:
            how[key] = readers[key](text)
        except (ValueError, ArgumentTypeError) as error:
            raise UserError(f"{key}: {error}") from None
    return how


def _truth(text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise ValueError(f"{text} is neither true nor false")
    return text in ("true", "1")


def _told(status: int, words: str | None = None, headers: dict[str, str] | None = None) -> Any:
    def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": words or " ".join(str(error).split())}, status, headers)

    return answer


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)

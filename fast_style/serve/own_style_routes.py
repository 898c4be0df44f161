"""The routes of the styles that people add: /v1/styles."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fast_style.errors import UserError
from fast_style.serve.learning import Learning
from fast_style.serve.limits import Limits
from fast_style.serve.models import Models
from fast_style.serve.own_styles import OwnStyle, as_painting, calling
from fast_style.serve.parameters import LEARN, NEW_STYLE, read_body, read_parameters
from fast_style.serve.work_queue import WorkQueue

MINUTES = 2.0
SECONDS_BETWEEN_EVENTS = 0.5
SECONDS_OF_SILENCE = 15.0  # after which an event is repeated, so that proxies keep the connection


class OwnStyleRoutes:
    """The handlers of the routes, one method each."""

    def __init__(self, models: Models, learning: Learning | None, queue: WorkQueue, limits: Limits):
        """learning: None if nobody may add styles; then all routes but the list answer 403."""
        self.models = models
        self._learning = learning
        self.queue = queue
        self.limits = limits

    def routes(self) -> list[Route]:
        """Returns the routes."""
        return [
            Route("/v1/styles", self.list, methods=["GET"]),
            Route("/v1/styles", self.add, methods=["POST"]),
            Route("/v1/styles/{name:str}:learn", self.learn, methods=["POST"]),
            Route("/v1/styles/{name:str}:stop", self.stop, methods=["POST"]),
            Route("/v1/styles/{name:str}/progress", self.progress),
            Route("/v1/styles/{name:str}", self.delete, methods=["DELETE"]),
            Route("/v1/styles/{name:str}", self.status, methods=["GET"], name="own_style"),
        ]

    @property
    def learning(self) -> Learning:
        if self._learning is None:
            reason = (
                "styles cannot be added: the server needs a model that takes any style, such as "
                "pretrained/any, and --allow-learning with a token where it does not listen on "
                "this machine alone"
            )
            raise HTTPException(403, reason)
        return self._learning

    async def list(self, request: Request) -> Response:
        learning = self._learning
        if learning is None:
            return JSONResponse({"allowed": False, "styles": []})
        styles = [learning.status(style) for style in learning.own.all().values()]
        most = {"max_minutes": learning.most_minutes}
        return JSONResponse({"allowed": True, **most, "styles": styles})

    async def add(self, request: Request) -> Response:
        learning = self.learning
        body = await read_body(request)
        given = [*request.query_params.multi_items(), *body.texts]
        asked = {"learn": False, "minutes": MINUTES} | read_parameters(given, NEW_STYLE)
        if "name" not in asked:
            raise UserError("name: is missing")

        def work() -> OwnStyle:
            painting = as_painting(body.picture, "the painting", self.limits.pixels)
            taken = {*self.models.styles, *self.models.mixable, *self.models.takes_any}
            style = learning.own.add(asked["name"], painting, taken | self.models.statistics.keys())
            try:
                with calling(style.painting, "the painting"):
                    self.models.stylizer(style.name)
                if asked["learn"]:
                    learning.start(style, asked["minutes"])
            except BaseException:
                learning.own.delete(style)
                raise
            return style

        style = await self.queue.run(work)
        headers = {"location": str(request.url_for("own_style", name=style.name))}
        return JSONResponse(learning.status(style), 201, headers)

    async def status(self, request: Request) -> Response:
        return JSONResponse(self.learning.status(self._style(request)))

    async def learn(self, request: Request) -> Response:
        style = self._style(request)
        asked = {"minutes": MINUTES} | read_parameters(request.query_params.multi_items(), LEARN)
        await asyncio.to_thread(self.learning.start, style, asked["minutes"])
        return JSONResponse(self.learning.status(style), 202)

    async def stop(self, request: Request) -> Response:
        style = self._style(request)
        await asyncio.to_thread(self.learning.stop, style)
        return JSONResponse(self.learning.status(style))

    async def delete(self, request: Request) -> Response:
        style = self._style(request)

        def work() -> None:
            self.learning.forget(style)
            self.learning.own.delete(style)

        await asyncio.to_thread(work)
        return Response(status_code=204)

    async def progress(self, request: Request) -> Response:
        style = self._style(request)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the latter for nginx
        events = self._events(style)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _events(self, style: OwnStyle) -> AsyncIterator[str]:
        """Yields the status whenever it changes, until the learning has come to its end."""
        last: dict[str, Any] = {}
        silence = 0.0
        while not self.learning.is_closed:
            status = self.learning.status(style)
            if status != last or silence >= SECONDS_OF_SILENCE:
                yield f"data: {json.dumps(status)}\n\n"
                last, silence = status, 0.0
            if status["state"] != "learning":
                return
            await asyncio.sleep(SECONDS_BETWEEN_EVENTS)
            silence += SECONDS_BETWEEN_EVENTS

    def _style(self, request: Request) -> OwnStyle:
        name = request.path_params["name"]
        styles = self.learning.own.all()
        if name not in styles:
            raise HTTPException(404, f"no style {name!r} has been added")
        return styles[name]

"""Metrics of the server for Prometheus: requests, their time and status, and the queue."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = {"/", "/v1", "/stylize", "/styles", "/features", "/healthz", "/metrics", "/page"}


class Metrics:
    """The metrics of one application."""

    def __init__(self, queue_length: Callable[[], int]):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fast_style_requests",
            "Requests by the first part of their path and the status of the answer",
            ["path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "fast_style_request_seconds",
            "From a request's headers to the end of its answer",
            ["path"],
            registry=self.registry,
        )
        queue = Gauge(
            "fast_style_waiting", "Requests that wait or are worked on", registry=self.registry
        )
        queue.set_function(queue_length)

    async def endpoint(self, request: Request) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            # Only the first part, because clients can send any number of different paths.
            path = "/" + scope["path"].lstrip("/").split("/")[0]
            path = path if path in PATHS else "other"
            status = 500

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                with self.seconds.labels(path).time():
                    await app(scope, receive, noted)
            finally:
                self.requests.labels(path, str(status)).inc()

        return measured

"""What Prometheus reads: requests, latency, errors, and how many wait."""

import time
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


class Metrics:
    """Counters of one application."""

    def __init__(self, waiting: Callable[[], int]):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fast_style_requests",
            "Requests by the kind of path and the status of the answer",
            ["path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "fast_style_request_seconds",
            "From a request's headers to the end of its answer",
            ["path"],
            registry=self.registry,
        )
        self.errors = Counter(
            "fast_style_errors", "Answers that begin with 5", registry=self.registry
        )
        queue = Gauge(
            "fast_style_waiting", "Requests that wait or are worked on", registry=self.registry
        )
        queue.set_function(waiting)

    async def endpoint(self, request: Request) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500
            started = time.perf_counter()

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                # The first part alone: names in paths are anybody's, and would never end.
                path = "/" + scope["path"].split("/")[1]
                path = path if path in KINDS else "other"
                self.requests.labels(path, str(status)).inc()
                self.seconds.labels(path).observe(time.perf_counter() - started)
                if status >= 500:
                    self.errors.inc()

        return measured


KINDS = {"/", "/v1", "/stylize", "/styles", "/healthz", "/metrics", "/page"}

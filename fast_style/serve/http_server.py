"""The HTTP server, uvicorn."""

import asyncio
import contextlib
import socket
import sys
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from fast_style.serve.learning import Learning

STARTUP_FAILURE = 3  # the exit status of uvicorn.run, if the port is taken


class HttpServer(uvicorn.Server):
    """A uvicorn server that ends the learning while it waits for the connections.

    The events of a learning's progress would keep their connections open.
    """

    def __init__(self, app: ASGIApp, learning: Learning | None, **options: Any):
        """options: those of uvicorn.Config."""
        super().__init__(uvicorn.Config(app, **options))
        self.learning = learning

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        close = self.learning.close if self.learning is not None else lambda: None
        closing = asyncio.create_task(asyncio.to_thread(close))
        await super().shutdown(sockets)
        await closing


def serve(app: ASGIApp, learning: Learning | None, **options: Any) -> None:
    """Serves an application until SIGINT or SIGTERM. options: those of uvicorn.Config."""
    server = HttpServer(app, learning, **options)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)

"""Limits on the bodies of requests, and the decompression of bodies in gzip."""

import asyncio
import gzip
import io
import zlib
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GZIP = ("gzip", "x-gzip")  # RFC 9110, 8.4.1


@dataclass(frozen=True)
class Limits:
    """Limits on requests."""

    capacity: int = 64  # requests that wait or are worked on
    body_bytes: int = 64_000_000  # of one request
    bytes_together: int = 512_000_000  # of the bodies of all requests
    body_seconds: float = 60.0  # for a body to arrive
    pixels: int = 50_000_000  # of a request's pictures together, with their borders


class BodyLimit:
    """ASGI middleware: the application receives the whole body at once, decompressed.

    Raises HTTPException when the application reads the body: 413 for too many bytes, compressed or
    decompressed; 408 for a body that takes too long; 429 if the bodies of other requests leave no
    room; 415 for a Content-Encoding other than gzip; 400 for a body that is not valid gzip.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app = app
        self.limits = limits
        self.held = 0  # bytes of the bodies of all requests in progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(self, Headers(scope=scope), receive)
        try:
            await self.app(scope, body.receive, send)
        finally:
            self.held -= body.size


class _Body:
    """The body of one request."""

    def __init__(self, middleware: BodyLimit, headers: Headers, receive: Receive):
        self.middleware = middleware
        self.limits = middleware.limits
        self.headers = headers
        self.receive_part = receive
        self.size = 0  # bytes of this body in middleware.held
        self.is_received = False

    async def receive(self) -> Message:
        """The application's `receive` (ASGI)."""
        if self.is_received:
            return await self.receive_part()  # returns when the client disconnects
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", *GZIP):
            reason = f"content-encoding: {encoding} is not supported; send gzip or identity"
            raise HTTPException(415, reason, {"accept-encoding": "gzip"})
        self._check(int(self.headers.get("content-length", 0)))
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                body = await self._read()
        except TimeoutError:
            reason = f"the body did not arrive within {self.limits.body_seconds:g} s"
            raise HTTPException(408, reason, {"connection": "close"}) from None
        if encoding in GZIP:
            body = await asyncio.to_thread(_decompressed, body, self.limits.body_bytes)
            self._hold(len(body))
        self.is_received = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def _read(self) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await self.receive_part()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            self._hold(len(body))
        return bytes(body)

    def _hold(self, size: int) -> None:
        self._check(size)
        self.middleware.held += size - self.size
        self.size = size

    def _check(self, size: int) -> None:
        """Raises HTTPException if a body of `size` bytes exceeds a limit."""
        if size > self.limits.body_bytes:
            raise HTTPException(413, f"a request has at most {self.limits.body_bytes:,} bytes")
        if self.middleware.held - self.size + size > self.limits.bytes_together:
            reason = "too many bytes are waiting; try again"
            raise HTTPException(429, reason, {"retry-after": "1"})


def _decompressed(body: bytes, most_bytes: int) -> bytes:
    """The first most_bytes + 1 bytes of a gzip body. Raises HTTPException (400)."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            return file.read(most_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise HTTPException(400, f"the body is not valid gzip: {error}") from None

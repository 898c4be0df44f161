"""Limits on the bodies of requests, and the unpacking of compressed ones."""

import asyncio
import gzip
import io
import zlib

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GZIP = ("gzip", "x-gzip")  # RFC 9110, 8.4.1


class BodyLimit:
    """ASGI middleware: the application receives a whole body at once, unpacked, or an error.

    The errors are HTTPException: 413 for too many bytes, packed or unpacked; 408 for a body that
    takes too long; 429 if there is no room beside the bodies of other requests; 415 for a
    Content-Encoding other than gzip, and 400 for a body that is not gzip as it says.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, most_together: int, seconds: float):
        """most_together: bytes of the bodies of all requests that are not answered yet."""
        self.app = app
        self.most_bytes = most_bytes
        self.most_together = most_together
        self.seconds = seconds
        self.held = 0  # bytes

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

    def __init__(self, limit: BodyLimit, headers: Headers, receive: Receive):
        self.limit = limit
        self.headers = headers
        self.receive_part = receive
        self.size = 0  # bytes that `limit` holds
        self.is_received = False

    async def receive(self) -> Message:
        """The `receive` of ASGI for the application."""
        if self.is_received:
            return await self.receive_part()  # returns when the client disconnects
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", *GZIP):
            reason = "a body comes as it is or in gzip; its content-encoding names another"
            raise HTTPException(415, reason, {"accept-encoding": "gzip"})
        self._check(int(self.headers.get("content-length", 0)))
        try:
            async with asyncio.timeout(self.limit.seconds):
                body = await self._read()
        except TimeoutError:
            reason = f"the body did not arrive within {self.limit.seconds:g} s"
            raise HTTPException(408, reason, {"connection": "close"}) from None
        if encoding in GZIP:
            body = await asyncio.to_thread(_unpacked, body, self.limit.most_bytes)
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
        self.limit.held += size - self.size
        self.size = size

    def _check(self, size: int) -> None:
        """Raises HTTPException if so many bytes are too many."""
        if size > self.limit.most_bytes:
            raise HTTPException(413, f"a request has at most {self.limit.most_bytes:,} bytes")
        if self.limit.held - self.size + size > self.limit.most_together:
            reason = "too many bytes are waiting; try again"
            raise HTTPException(429, reason, {"retry-after": "1"})


def _unpacked(body: bytes, most_bytes: int) -> bytes:
    """What a gzip body holds, cut off after most_bytes + 1 bytes. Raises HTTPException."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            return file.read(most_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise HTTPException(400, f"the body is not gzip, as it should be: {error}") from None

"""Bodies that are too long or too slow, refused before they are read; compressed ones unpacked."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNPACKED_AT_ONCE = 1 << 20  # bytes, which take some milliseconds; other requests come in between
PLAIN, GZIP = "identity", ("gzip", "x-gzip")  # RFC 9110, 8.4.1
GZIP_HEADER = zlib.MAX_WBITS | 16


class BodyLimit:
    """ASGI middleware. A request of more bytes, announced or not, is answered 413, one that takes
    longer 408, and 429 one for which there is no room beside those that are held already.

    A body that its Content-Encoding calls gzip is unpacked, and its bytes are counted when they
    are; another encoding is answered 415."""

    def __init__(self, app: ASGIApp, most_bytes: int, most_together: int, seconds: float):
        self.app = app
        self.most_bytes = most_bytes
        self.most_together = most_together
        self.seconds = seconds
        self.held = 0  # bytes, of all requests that are not answered yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        announced = int(length) if length.isdigit() else 0
        until = asyncio.get_running_loop().time() + self.seconds
        arrived, read, whole = 0, 0, False

        async def in_time() -> Message:
            nonlocal arrived
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                reason = f"a request has {self.seconds:g} s to arrive"
                raise HTTPException(408, reason, {"connection": "close"}) from None
            arrived += len(message.get("body", b""))
            self._check(arrived, self.held)
            return message

        encoding = headers.get("content-encoding", PLAIN).lower()
        unpacked = in_time if encoding == PLAIN else _gunzipped(in_time).__anext__

        async def limited() -> Message:
            nonlocal read, whole
            if whole:
                return await receive()
            if encoding not in (PLAIN, *GZIP):
                reason = "a body comes as it is or in gzip; its content-encoding names another"
                raise HTTPException(415, reason, {"accept-encoding": "gzip"})
            self._check(announced, self.held - read + announced)
            message = await unpacked()
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            self.held += len(message.get("body", b""))
            self._check(read, self.held)
            return message

        try:
            await self.app(scope, limited, send)
        finally:
            self.held -= read

    def _check(self, of_this_one: int, together: int) -> None:
        if of_this_one > self.most_bytes:
            raise HTTPException(413, f"a request has at most {self.most_bytes:,} bytes")
        if together > self.most_together:
            reason = "too many bytes are waiting; try again"
            raise HTTPException(429, reason, {"retry-after": "1"})


async def _gunzipped(receive: Receive) -> AsyncIterator[Message]:
    """A body's messages, of at most UNPACKED_AT_ONCE bytes; of any number of members (RFC 1952)."""
    member, more = zlib.decompressobj(GZIP_HEADER), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            yield message
            return
        packed, more, piece = message.get("body", b""), message.get("more_body", False), b""
        # A full piece may have more to come out of bytes that went in before.
        while packed or len(piece) == UNPACKED_AT_ONCE:
            if member.eof:
                packed = packed.lstrip(b"\0")  # padding, which gzip takes, too
                if not packed:
                    break
                member = zlib.decompressobj(GZIP_HEADER)
            try:
                piece = member.decompress(packed, UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise HTTPException(
                    400, f"the body is not gzip, as it should be: {error}"
                ) from None
            packed = member.unconsumed_tail or member.unused_data
            if piece:
                yield {"type": "http.request", "body": piece, "more_body": True}
            await asyncio.sleep(0)
    if not member.eof:
        raise HTTPException(400, "the body's gzip is cut short")
    yield {"type": "http.request", "body": b"", "more_body": False}

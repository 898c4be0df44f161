"""Bodies that are too long or too slow, refused before they are read."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware. A request of more bytes, announced or not, is answered 413, one that takes
    longer 408, and 429 one for which there is no room beside those that are held already."""

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
        length = Headers(scope=scope).get("content-length", "0")
        announced = int(length) if length.isdigit() else 0
        until = asyncio.get_running_loop().time() + self.seconds
        read, whole = 0, False

        async def limited() -> Message:
            nonlocal read, whole
            if whole:
                return await receive()
            self._check(announced, self.held - read + announced)
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                words = f"a request has {self.seconds:g} s to arrive"
                raise HTTPException(408, words, {"connection": "close"}) from None
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
            words = "too many bytes are waiting; try again"
            raise HTTPException(429, words, {"retry-after": "1"})

"""Bodies that are too long, refused before they are read."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware: a request of more bytes, announced or not, is answered 413."""

    def __init__(self, app: ASGIApp, most_bytes: int):
        self.app = app
        self.most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        read = 0

        async def limited() -> Message:
            nonlocal read
            if announced.isdigit() and int(announced) > self.most_bytes:
                raise self._refusal()
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most_bytes:
                raise self._refusal()
            return message

        await self.app(scope, limited, send)

    def _refusal(self) -> HTTPException:
        return HTTPException(413, f"a request has at most {self.most_bytes:,} bytes")

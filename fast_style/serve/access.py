"""Which clients may send requests: by the name of the server, the page they come from, a token."""

import base64
import binascii
import contextlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from starlette.authentication import AuthenticationBackend, AuthenticationError
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fast_style.serve.tensorflow_serving import WARNING

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEALTH = "/healthz"  # needs no token


@dataclass(frozen=True)
class Access:
    """Which clients may send requests; by default all, except pages of other sites."""

    token: str | None = None
    origins: tuple[str, ...] = ()  # sites whose pages may send requests: https://example.com
    hosts: tuple[str, ...] = ("*",)  # names of this server, as TrustedHostMiddleware takes them

    def middleware(self) -> list[Middleware]:
        """The middleware that refuses other clients, the outermost first."""
        origins = [origin.lower().rstrip("/") for origin in self.origins]
        middleware = [
            Middleware(TrustedHostMiddleware, allowed_hosts=self.hosts),
            Middleware(OriginCheck, allowed=origins),
        ]
        if origins:
            cors = Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-encoding", "content-type"],
                expose_headers=[WARNING],
            )
            middleware.append(cors)
        if self.token:
            backend = TokenBackend(self.token)
            middleware.append(
                Middleware(AuthenticationMiddleware, backend=backend, on_error=_unauthorized)
            )
        return middleware


class OriginCheck:
    """ASGI middleware: 403 for requests of pages of other sites, unless they are allowed.

    CORS alone lets such a page send a POST, and only keeps the answer from it.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]):
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http" and not self._is_allowed(Headers(scope=scope)):
            reason = "requests of other sites are refused; --allow-origin allows a site"
            app = JSONResponse({"error": reason}, 403)
        await app(scope, receive, send)

    def _is_allowed(self, headers: Headers) -> bool:
        origin, host = headers.get("origin", "").lower(), headers.get("host", "").lower()
        return not origin or origin in self.allowed or origin.partition("://")[2] == host


class TokenBackend(AuthenticationBackend):
    """Accepts the token as a bearer token, or as the password of any user.

    A browser asks for the password by itself.
    """

    def __init__(self, token: str):
        self.token = token.encode()

    async def authenticate(self, conn: HTTPConnection) -> None:
        """Raises AuthenticationError if the request does not hold the token."""
        sent = _sent_token(conn.headers.get("authorization", ""))
        if conn.scope["path"] != HEALTH and not hmac.compare_digest(sent, self.token):
            raise AuthenticationError


def _sent_token(authorization: str) -> bytes:
    """The token in an Authorization header, or no bytes."""
    scheme, _, credentials = authorization.partition(" ")
    sent = credentials.strip().encode("latin-1")
    if scheme.lower() == "bearer":
        return sent
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(sent, validate=True).partition(b":")[2]
    return b""


def _unauthorized(conn: HTTPConnection, error: Exception) -> JSONResponse:
    headers = {"www-authenticate": 'Basic realm="fast-style", charset="UTF-8"'}
    return JSONResponse({"error": "this server needs its token"}, 401, headers)

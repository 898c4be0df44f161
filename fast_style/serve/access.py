"""Which clients may send requests: by the name of the server, the page they come from, a token."""

import base64
import binascii
import contextlib
import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
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
    hosts: tuple[str, ...] = ("*",)  # the server's names, in the form of TrustedHostMiddleware

    def middleware(self) -> list[Middleware]:
        """Returns the middleware that refuses other clients, the outermost first."""
        origins = [origin.lower().rstrip("/") for origin in self.origins]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=self.hosts)
        cors = Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-encoding", "content-type"],
            expose_headers=[WARNING],
        )
        check = Middleware(AccessCheck, origins=origins, token=self.token)
        return [hosts, cors, check] if origins else [hosts, check]


class AccessCheck:
    """ASGI middleware: answers 403 to pages of other sites, and 401 to requests without the token.

    The token is a bearer token or the password of any user: browsers ask for a password.
    """

    def __init__(self, app: ASGIApp, origins: list[str], token: str | None):
        """origins: sites whose pages are allowed. token: None if no token is needed."""
        self.app = app
        self.origins = origins
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        origin, host = headers.get("origin", "").lower(), headers.get("host", "").lower()
        # CORS alone lets such a page send a POST, and only keeps the answer from it.
        if origin and origin not in self.origins and origin.partition("://")[2] != host:
            reason = "requests from pages of other sites are refused; --allow-origin allows a site"
            return JSONResponse({"error": reason}, 403)
        if not self.token or scope["path"] == HEALTH:
            return None
        sent = _sent_token(headers.get("authorization", ""))
        if hmac.compare_digest(sent, self.token.encode()):
            return None
        challenge = {"www-authenticate": 'Basic realm="fast-style", charset="UTF-8"'}
        return JSONResponse({"error": "the token is missing or wrong"}, 401, challenge)


def _sent_token(authorization: str) -> bytes:
    """The token in an Authorization header; b"" if it has none."""
    scheme, _, credentials = authorization.partition(" ")
    sent = credentials.strip().encode("latin-1")
    if scheme.lower() == "bearer":
        return sent
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(sent, validate=True).partition(b":")[2]
    return b""

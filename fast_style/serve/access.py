"""Who may ask: by the page that a browser shows, the name that it asked for, and a token."""

import base64
import binascii
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
FOR_PROBES = "/healthz"


class SameSite:
    """ASGI middleware: a page from elsewhere has no use of this server, unless it is allowed.

    Neither by a request of its own (Origin), nor by a name that its owner lets point here (Host).
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str], hosts: Iterable[str] | None):
        """origins: such as https://example.com; hosts: without ports, None for any."""
        self.app = app
        self.origins = {origin.lower().rstrip("/") for origin in origins}
        self.hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refused(Headers(scope=scope)) if scope["type"] == "http" else None
        await (JSONResponse({"error": refused}, 403) if refused else self.app)(scope, receive, send)

    def _refused(self, headers: Headers) -> str | None:
        asked = headers.get("host", "").lower()
        if asked and self.hosts is not None and _without_port(asked) not in self.hosts:
            return "this server does not go by the name in Host; --allow-host gives it names"
        origin = headers.get("origin", "").lower()
        if origin and origin not in self.origins and origin.partition("://")[2] != asked:
            return "pages from elsewhere may not ask; --allow-origin names those that may"
        return None


class Token:
    """ASGI middleware: 401 without the token, as a bearer's or as the password of any user.

    A browser asks its user for the latter by itself. Whether the server lives, anybody may ask.
    """

    def __init__(self, app: ASGIApp, token: str):
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == FOR_PROBES or self._is_known(scope):
            await self.app(scope, receive, send)
            return
        asked_for = {"www-authenticate": 'Basic realm="fast-style", charset="UTF-8"'}
        refusal = JSONResponse({"error": "the server's token is wanted"}, 401, asked_for)
        await refusal(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        shown = given.strip().encode("latin-1")
        if scheme.lower() == "basic":
            try:
                shown = base64.b64decode(shown, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(shown, self.token)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host

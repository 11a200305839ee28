"""Which requests are let in, by host, origin and login, before anything else; and what every answer forbids."""

import re
from base64 import b64encode
from hashlib import sha256
from http.cookies import CookieError
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import file_util

from dashboard import identity, resources

HERE = ("localhost", "127.0.0.1", "[::1]")
OPEN = re.compile(r"/[^/]*|/static/.*|/auth/(login|logout)|/_stcore/(health|host-config|stream)")
"""What works without a login: the empty shell of each page, Streamlit's own scripts, and the way to the login.
Everything else holds data: pictures, files, uploads, components, figures of the server."""
SAFE = ("GET", "HEAD", "OPTIONS")


def _inline_scripts() -> str:
    """The scripts that stand in Streamlit's own page, by hash; no other inline script runs."""
    page = (Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in scripts)


PAGE = "; ".join(
    [
        "default-src 'self'",
        f"script-src 'self' blob: {_inline_scripts()}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
"""Pages load nothing from elsewhere, send nothing there and run no inline script; styles they do write inline."""
DATA = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""Pictures and files run nothing, whatever is in them."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Origins:
    """Refuse what another site's page sends: uploads, deletions and the socket, whatever cookies come along."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            asks = scope["type"] == "websocket" or scope["method"] not in SAFE
            if asks and origin is not None and origin.partition("://")[2] != headers.get("host"):
                await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Logins:
    """Where a login is demanded, refuse data to whoever has none (401) or is not let in (403)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or OPEN.fullmatch(scope["path"]) or not identity.required():
            await self._app(scope, receive, send)
            return
        status = _status(scope)
        if status == 200:
            await self._app(scope, receive, _privately(send))
            return
        reason = "log in first, on any page" if status == 401 else "this account is not let in"
        await PlainTextResponse(reason, status, headers={"Cache-Control": "no-store"})(scope, receive, send)


class Protections:
    """Put on every answer what keeps browsers from guessing types, framing pages and running what is data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Content-Security-Policy"] = DATA if path.startswith(("/app/", "/media/")) else PAGE
                if path == "/auth/logout":
                    headers["Clear-Site-Data"] = '"cache"'  # pictures are kept for good while somebody is logged in
            await send(message)

        await self._app(scope, receive, sent)


def middleware() -> list[Middleware]:
    """For st.App, the outermost first."""
    hosts = sorted({*HERE, *resources.settings().allowed_hosts})
    return [
        Middleware(Protections),
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        Middleware(Origins),
        Middleware(Logins),
    ]


def _status(scope: Scope) -> int:
    try:
        claims = identity.claims_in(HTTPConnection(scope).cookies)
    except CookieError:
        claims = None
    if claims is None:
        return 401
    return 200 if identity.admitted(claims, resources.settings().allowed_emails) else 403


def _privately(send: Send) -> Send:
    """What one reader may see is kept by their own browser alone, and by no cache on the way."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "cache-control" in headers:
                headers["Cache-Control"] = headers["cache-control"].replace("public", "private")
        await send(message)

    return sent

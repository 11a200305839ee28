"""Access control by host, origin and login for all requests, and security headers for all responses."""

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
"""Paths that work without a login: the empty shell of each page, Streamlit's own scripts, and the login itself.
Everything else holds data: images, files, uploads, components, server metrics."""
SAFE = ("GET", "HEAD", "OPTIONS")


def _inline_scripts() -> str:
    """Hashes of the inline scripts in Streamlit's own page; no other inline script may run."""
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
"""Pages load nothing from other hosts, send nothing there and run no inline scripts; inline styles are allowed."""
DATA = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""Images and files must not run anything, whatever they contain."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Origins:
    """Refuse uploads, deletions and web sockets from other sites, whatever cookies they send."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 if the origin is not the host and the request may change something; a GET passes."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            asks = scope["type"] == "websocket" or scope["method"] not in SAFE
            if asks and origin is not None and origin.partition("://")[2] != headers.get("host"):
                await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Logins:
    """If logins are required, refuse data to users without a login (401) or without access (403)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is open passes as it is; an admitted user's data passes marked as private."""
        if scope["type"] not in ("http", "websocket") or OPEN.fullmatch(scope["path"]) or not identity.required():
            await self._app(scope, receive, send)
            return
        status = _status(scope)
        if status == 200:
            await self._app(scope, receive, _privately(send))
            return
        reason = "log in first, on any page" if status == 401 else "this account has no access"
        await PlainTextResponse(reason, status, headers={"Cache-Control": "no-store"})(scope, receive, send)


class Protections:
    """Add security headers to every response, against type sniffing, framing and running data as code."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Web sockets pass unchanged."""
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
                    headers["Clear-Site-Data"] = '"cache"'  # images are cached permanently while a user is logged in
            await send(message)

        await self._app(scope, receive, sent)


def middleware() -> list[Middleware]:
    """Middleware for st.App, outermost first."""
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
    """Let only the user's own browser cache responses, not shared caches."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "cache-control" in headers:
                headers["Cache-Control"] = headers["cache-control"].replace("public", "private")
        await send(message)

    return sent

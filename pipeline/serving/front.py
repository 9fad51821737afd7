"""What stands before every route: who may ask, what every answer carries, and what is counted."""

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.metrics import Metrics

HEADERS = {
    # blob: the pictures that somebody chose, shown from memory
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE = ("GET", "OPTIONS")
FAULT = {"error": "The service failed at this; the fault is its own and has been logged.", "code": "fault"}


class Front:
    """ASGI middleware. Another origin is granted nothing: its page can neither read an answer nor have one made.

    origins: other web origins that may send; that their pages may read the answers is CORSMiddleware's to say.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, origins: Sequence[str]):
        self.app, self.metrics, self.origins = app, metrics, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = scope | {"method": "GET"}  # the server sends no body to who asked with HEAD
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                fixed = scope["path"] == "/" or scope["path"].startswith("/page")
                headers["Cache-Control"] = "no-cache" if fixed else "no-store"
            await send(message)

        try:
            if self._foreign(scope):
                words = {"error": "Pages of another origin may not send anything here.", "code": "foreign_origin"}
                await JSONResponse(words, 403)(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        except Exception:
            if not status:
                await JSONResponse(FAULT, 500)(scope, receive, send_with_headers)
            raise  # to be logged
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status or 500).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _foreign(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["method"] in SAFE or origin is None or origin in self.origins:
            return False
        try:
            return urlsplit(origin).netloc != headers.get("host")
        except ValueError:  # such as http://[
            return True

"""Headers that every answer carries, so that browsers do no more with it than is meant.

Sources: OWASP's "HTTP Security Response Headers Cheat Sheet"; Content Security Policy Level 3; RFC 6797.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""For data, from which a browser has nothing to load."""
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For the page at /docs: Swagger UI writes styles into its elements, and has pictures as data."""

EXPOSED = [
    *("Cache-Status", "Location", "Retry-After", "X-Request-ID"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
]
"""What a page of another origin may read of an answer besides its body."""


class SecurityHeaders:
    """Adds the headers to every answer that has not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_with_headers)


def add_security(headers: MutableHeaders) -> None:
    """Add the headers that an answer has not set itself."""
    for name, value in ALWAYS.items():
        headers.setdefault(name, value)
    is_page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", PAGE if is_page else NOTHING)
    headers.setdefault("Cache-Control", "no-store")


def other_origins(app: ASGIApp, origins: str) -> ASGIApp:
    """The app, callable from pages of these origins (with commas; `*` is every one); itself where there are none.

    Without credentials (Fetch, "CORS protocol"): a page sends a key, and nothing that a browser keeps lets it in.
    """
    allowed = [part.strip() for part in origins.split(",") if part.strip()]
    if not allowed:
        return app
    return CORSMiddleware(
        app,
        allow_origins=allowed,
        allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Prefer", "X-API-Key", "X-Request-ID"],
        expose_headers=EXPOSED,
        max_age=600,
    )

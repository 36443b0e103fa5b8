"""HTTP for those who have the token."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_DETAIL = "this service demands a bearer token; set OPTIPROV_TOKEN to the one that it was given"


class BearerToken:
    """Lets requests through that carry `Authorization: Bearer <token>`, and answers the others with 401.

    Args:
        app: the application behind it.
        token: the secret.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = b"Bearer " + token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server."""
        if scope["type"] == "lifespan" or self._is_allowed(scope):
            await self._app(scope, receive, send)
        else:
            headers = {"WWW-Authenticate": "Bearer"}
            await JSONResponse({"detail": _DETAIL}, status_code=401, headers=headers)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        given = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        # In constant time, so that answers do not tell how much of a guess is right.
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)

"""The provenance behind a service, over HTTP."""

from __future__ import annotations

import json
import os
import weakref
from typing import TYPE_CHECKING, Any

import httpx

from optiprov.errors import (
    BarrierTimeout,
    CredentialsError,
    OptiprovError,
    QueryError,
    ServiceUnavailable,
    StoreError,
)
from optiprov.store.provenance import Provenance
from optiprov.store.service_address import CA_VARIABLE, ServiceAddress, pinned_context
from optiprov.store.url import service_file

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

_ARROW = "application/vnd.apache.arrow.stream"
_ARROW_FOR_JSON = {"Accept": _ARROW, "Content-Type": "application/json"}
_CONNECT_TIMEOUT_S = 5.0
_ANSWER_MARGIN_S = 10.0
_QUERY_TIMEOUT_S = 300.0
_TOKEN_VARIABLE = "OPTIPROV_TOKEN"  # noqa: S105 - the name of a variable, no token
_UNAUTHORIZED = 401
_ERRORS = {
    _UNAUTHORIZED: CredentialsError,
    400: QueryError,
    422: QueryError,
    408: BarrierTimeout,
    500: StoreError,
    503: ServiceUnavailable,
}


class RemoteProvenance(Provenance):
    """The provenance of a running service.

    Args:
        url: the service's address, `http://host:port` or `https://host:port?ca=/path`.
        token: what the service asks for, by default OPTIPROV_TOKEN.
        tls_context: in place of the one that the address asks for.

    Raises:
        UrlError: the address cannot be understood.
        CredentialsError: the CA cannot be used; on any question, the service demands another token.
    """

    def __init__(
        self, url: str, *, token: str | None = None, tls_context: ssl.SSLContext | None = None
    ) -> None:
        address = ServiceAddress.parse(url)
        self.url = address.url
        token = (os.environ.get(_TOKEN_VARIABLE, "") if token is None else token).strip()
        self._http = httpx.Client(
            base_url=address.url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=httpx.Timeout(_QUERY_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            trust_env=False,
            verify=tls_context or address.tls_context() or False,
        )
        self._finalizer = weakref.finalize(self, self._http.close)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one read-only SQL query on the service."""
        import pyarrow as pa

        body = json.dumps({"text": sql, "params": list(parameters)}, default=str)
        response = self._send("POST", "/sql", content=body, headers=_ARROW_FOR_JSON)
        with pa.ipc.open_stream(response.content) as stream:
            return stream.read_all()

    def health(self) -> dict[str, Any]:
        """Return how the service stands: version, addresses, and counts of what it has stored."""
        answer: dict[str, Any] = self._send("GET", "/health").json()
        return answer

    def wait_stored(self, heads: Mapping[str, int], *, timeout_s: float) -> None:
        """Wait until every client's records up to the given number are stored: the barrier.

        Raises:
            BarrierTimeout: they are not in the time allowed; the message says which clients lag.
        """
        body = {"heads": dict(heads), "timeout_s": timeout_s}
        self._send("POST", "/barrier", json=body, timeout=timeout_s + _ANSWER_MARGIN_S)

    def wait_commit(self, after: int, *, timeout_s: float) -> int:
        """Wait for a commit later than `after`; return the number of the last one, which may be `after`."""
        body = {"after": after, "timeout_s": timeout_s}
        response = self._send("POST", "/commits", json=body, timeout=timeout_s + _ANSWER_MARGIN_S)
        return int(response.json()["commit_id"])

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"no provenance service answers at {self.url}: {error}.{self._hint(error)}"
            ) from error
        if response.is_error:
            where = f"{self.url}: " if response.status_code == _UNAUTHORIZED else ""
            raise _ERRORS.get(response.status_code, StoreError)(where + _detail(response))
        return response

    def _hint(self, error: httpx.HTTPError) -> str:
        if self.url.startswith("https:"):
            is_about_tls = "SSL" in str(error) or "certificate" in str(error)
            hint = f" Is the CA right (?ca=/path or {CA_VARIABLE}), and does the service speak TLS?"
            return hint if is_about_tls else ""
        is_other_protocol = isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
        return " If it speaks TLS, write https://." if is_other_protocol else ""

    def close(self) -> None:
        """Close the connections; also done when the object goes."""
        self._finalizer()


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text


def owning_service(store: Path) -> RemoteProvenance | None:
    """Return the service that says beside the file that it owns it; None where it does not answer any more.

    After a kill, the file is still there, and another service may have the port: so it is asked what it owns.
    """
    try:
        addresses = json.loads(service_file(store).read_text(encoding="utf-8"))
        certificate = addresses.get("certificate")
        context = pinned_context(certificate) if certificate else None
        service = RemoteProvenance(str(addresses["http"]), tls_context=context)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    try:
        if service.health().get("pid") == addresses.get("pid"):
            return service
    except CredentialsError:
        return service  # its answers will say what is missing
    except (OptiprovError, ValueError, AttributeError):
        pass  # nobody, or some other server
    service.close()
    return None

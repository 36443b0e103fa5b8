"""The HTTP side of the service: health, queries, and waiting for what is not stored yet."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import optiprov
from optiprov.errors import QueryError, StoreError
from optiprov.serve.commits import Commits
from optiprov.store.plain_values import json_value
from optiprov.store.provenance import Provenance

_ARROW = "application/vnd.apache.arrow.stream"
_MAX_WAIT_S = 3600.0

Timeout = Annotated[float, Field(ge=0, le=_MAX_WAIT_S)]


class SqlBody(BaseModel):
    """One read-only statement."""

    text: str
    params: list[Any] = []


class QueryBody(BaseModel):
    """The arguments of `Provenance.query`, by the same names."""

    projection: list[str] | None = None
    filter: dict[str, Any] | None = None
    aggregation: list[tuple[str, str]] | None = None
    sort: list[tuple[str, Literal["ascending", "descending"]]] | None = None
    limit: int | None = None


class BarrierBody(BaseModel):
    """The clients to wait for, each with the number of its last record."""

    heads: dict[str, int]
    timeout_s: Timeout = 30.0


class CommitsBody(BaseModel):
    """The number of the commit behind which to wait for the next."""

    after: int
    timeout_s: Timeout = 30.0


def make_app(provenance: Provenance, commits: Commits, health: Callable[[], dict[str, Any]]) -> FastAPI:
    """Return the service's HTTP application.

    Args:
        provenance: the store to ask.
        commits: what has been committed.
        health: returns what `/health` answers.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        commits.attach(asyncio.get_running_loop())
        yield

    app = FastAPI(title="optiprov provenance service", version=optiprov.__version__, lifespan=lifespan)

    @app.exception_handler(QueryError)
    def _bad_query(_request: Request, error: QueryError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=400)

    @app.exception_handler(StoreError)
    @app.exception_handler(TimeoutError)
    def _no_answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=500)

    @app.get("/health")
    def get_health() -> dict[str, Any]:
        """How the service stands, and what it has stored since it started."""
        return health()

    @app.post("/sql")
    def post_sql(body: SqlBody, accept: Annotated[str, Header()] = "") -> Response:
        """Run one read-only statement; answers with Arrow where that is accepted, otherwise with JSON."""
        return _answer(provenance.fetch(body.text, body.params), accept)

    @app.post("/query")
    def post_query(body: QueryBody, accept: Annotated[str, Header()] = "") -> Response:
        """Query tasks by what they used and generated."""
        return _answer(
            provenance.answer(body.projection, body.filter, body.aggregation, body.sort, body.limit), accept
        )

    @app.post("/barrier")
    async def post_barrier(body: BarrierBody) -> dict[str, Any]:
        """Answer when every client's records up to the given number are stored."""
        if not await commits.wait_for(lambda: not commits.lagging(body.heads), body.timeout_s):
            lag = "; ".join(
                f"{c} at {mark} of {head}" for c, (mark, head) in commits.lagging(body.heads).items()
            )
            if commits.is_closed:
                raise HTTPException(503, f"the service is stopping; not stored yet: {lag}")
            raise HTTPException(408, f"not stored within {body.timeout_s:g} s: {lag}")
        return {"commit_id": commits.commit_id}

    @app.post("/commits")
    async def post_commits(body: CommitsBody) -> dict[str, Any]:
        """Answer when there is a commit behind the given one, or when the time is up."""
        await commits.wait_for(lambda: commits.commit_id > body.after, body.timeout_s)
        return {"commit_id": commits.commit_id}

    return app


def _answer(table: pa.Table, accept: str) -> Response:
    if _ARROW in accept:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue(), media_type=_ARROW)
    columns = [map(json_value, column.to_pylist()) for column in table.columns]  # two may have one name
    return JSONResponse({"columns": table.column_names, "rows": list(zip(*columns, strict=True))})

"""``/metrics``: the figures of all processes for Prometheus, to operators alone."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pacs import log
from pacs.access.operators import Operators
from pacs.budget_settings import BudgetSettings
from pacs.measured.board import Board
from pacs.measured.prometheus import CONTENT_TYPE, as_text

_NO_STORE = {"Cache-Control": "no-store"}


def metrics_router(board: Board, budgets: BudgetSettings, operators: Operators) -> APIRouter:
    """The route; reading it touches neither index nor disk, so that it answers also when these do not."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not operators.may_ask(address, (name for name, _ in request.scope["headers"])):
            log.warning("request refused", method="GET", path="/metrics", status=403, peer=address)
            problem = {
                "error": "The figures are for operators alone",
                "hint": "Ask from this machine, or from an address of metrics.allow, and not through a proxy.",
            }
            return JSONResponse(problem, status_code=403, headers=_NO_STORE)
        return Response(as_text(board, budgets), media_type=CONTENT_TYPE, headers=_NO_STORE)

    return router

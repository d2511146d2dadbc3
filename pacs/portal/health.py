"""Whether the archive lives and serves, for load balancers and scripts."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse


def health_router(is_ready: Callable[[], bool]) -> APIRouter:
    """``/health/live``: this process answers. ``/health/ready``: both doors serve, else 503 with Retry-After."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live")
    async def live() -> JSONResponse:
        return JSONResponse({"live": True}, headers={"Cache-Control": "no-store"})

    @router.get("/ready")
    async def ready() -> JSONResponse:
        serves = is_ready()
        headers = {"Cache-Control": "no-store"} | ({} if serves else {"Retry-After": "1"})
        return JSONResponse({"ready": serves}, status_code=200 if serves else 503, headers=headers)

    return router

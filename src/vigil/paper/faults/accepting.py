"""What becomes of a new connection when the fault menu has something against it."""

from aiohttp import web

from vigil.clock import Clock
from vigil.paper.faults.interference import AcceptPlan
from vigil.paper.line import forget_unsent

_TRY_AGAIN_LATER = 1013


async def refuse(request: web.Request, plan: AcceptPlan, clock: Clock) -> web.StreamResponse | None:
    """Let it wait, turn it away, or both. Returns: None when it may come in after all."""
    await clock.sleep(plan.stall_s)
    match plan.refusal:
        case "503" | "429":
            return web.Response(status=int(plan.refusal))
        case "reset":
            return hang_up(request, resets=True)
        case "close":
            socket = web.WebSocketResponse(timeout=0.1)
            await socket.prepare(request)
            await socket.close(code=_TRY_AGAIN_LATER)
            return socket
        case _:
            transport = request.transport
            return hang_up(request) if transport is None or transport.is_closing() else None


def hang_up(request: web.Request, *, resets: bool = False) -> web.StreamResponse:
    """End the connection without an answer."""
    if request.transport is not None:
        if resets:
            forget_unsent(request.transport)
        request.transport.abort()
    return web.Response()

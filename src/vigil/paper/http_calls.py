"""Requests over HTTP, where each stands for itself: read, carried out, answered.

The same methods as over the WebSocket; an error is told by the status as well.
"""

from collections.abc import Iterable

from aiohttp import web

from vigil.paper.faults.accepting import hang_up
from vigil.paper.faults.arming import Armed
from vigil.paper.faults.entry import Point
from vigil.paper.faults.interference import ORDINARY, RequestPlan
from vigil.paper.http_body import read_body
from vigil.paper.reactions import Reaction
from vigil.paper.refusals import Refusal
from vigil.paper.serving import Received, Serving
from vigil.paper.session.http_login import read_login
from vigil.paper.session.sessions import NOWHERE
from vigil.paper.wire import framing
from vigil.paper.wire.framing import Request, parse_frame


class HttpCalls:
    """The HTTP half of the server."""

    def __init__(self, shell: Serving) -> None:
        self._shell = shell

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        shell, clock = self._shell, self._shell.clock
        received = Received.now(clock)
        now_ms = received.now_ms
        call: Request | None = None
        plan = ORDINARY
        try:
            body = await read_body(request, framing.REQUEST_BYTES_MAX)
            call = _read_call(request, body)
            plan = shell.faults.on_request(call, None, now_ms)
            shell.deeds.run(plan.deeds, None)
            if plan.is_lost or _cuts(plan.deeds):
                return hang_up(request)
            await clock.sleep(plan.delay_s)
            for _ in range(plan.times):
                reaction = await self._carry_out(request, call, body, plan)
                shell.release((*reaction.before, *reaction.after))
        except Refusal as refusal:
            reaction = Reaction(answer=refusal)
        answer = reaction.answer if plan.refusal is None else plan.refusal
        deeds = shell.faults.after_request(call, None, now_ms) if call is not None else []
        shell.deeds.run(deeds, None)
        request_id = call.request_id if call is not None else None
        said = shell.faults.on_reply(
            call,
            None,
            answer,
            lambda it: shell.encode_reply(request_id, it, received),
            now_ms,
        )
        if not said.sendings or _cuts(deeds):
            return hang_up(request)
        await clock.sleep(said.sendings[0].delay_s)
        return web.Response(
            body=said.sendings[0].frame,
            status=400 if isinstance(said.answer, Refusal) else 200,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def _carry_out(
        self, request: web.Request, call: Request, body: bytes, plan: RequestPlan
    ) -> Reaction:
        """Have the venue do it. Raises: Refusal."""
        if not plan.is_applied:
            return Reaction()
        venue, clock = self._shell.venue, self._shell.clock
        address = request.remote or NOWHERE
        login = read_login(
            request.headers.get("Authorization"),
            verb=request.method,
            uri=request.raw_path,
            body=body,
            keys=venue.sessions.keys,
            now_ms=clock.now_ms(),
            address=address,
        )
        reaction = venue.receive_alone(
            call, clock.now_ms(), access_token=login.access_token, key=login.key, address=address
        )
        while (waiting := reaction.waiting) is not None:
            await clock.sleep(max(waiting.ticket.due_ms - clock.now_ms(), 0) / 1000)
            reaction = venue.resume(waiting, clock.now_ms())
        return reaction


def _read_call(request: web.Request, body: bytes) -> Request:
    """The call in a path and query, or in a body. A reply to GET has no id."""
    method = request.match_info.get("method")
    if request.method == "GET":
        assert method is not None
        return Request(method=method, params=dict(request.query), is_text=True)
    return parse_frame(body, default_method=method)


def _cuts(deeds: Iterable[Armed]) -> bool:
    """Whether one of the deeds ends a connection: over HTTP, the one that it came with."""
    return any(armed.fault.point is Point.CONNECTION for armed in deeds)

"""Requests over WebSockets: connections let in, frames read, carried out, answered.

A request may be held up by the fault menu or wait for its turn in the matching queue; whatever it
causes leaves in one order: notifications before the reply, the reply, notifications after it.
"""

from asyncio import TaskGroup

from aiohttp import WSMsgType, web

from vigil.paper.faults.accepting import refuse
from vigil.paper.faults.ghosts import ghost_of
from vigil.paper.faults.interference import RequestPlan
from vigil.paper.line import Line
from vigil.paper.reactions import Reaction
from vigil.paper.refusals import Refusal
from vigil.paper.serving import FRAME_BYTES_MAX, Received, Serving
from vigil.paper.session.sessions import NOWHERE, Session
from vigil.paper.wire.framing import Request, parse_frame

CLOSE_TIMEOUT_S = 1.0


class SocketCalls:
    """The WebSocket half of the server.

    Args:
        compresses: Deflate messages for clients that offer it.
    """

    def __init__(self, shell: Serving, *, compresses: bool) -> None:
        self._shell = shell
        self._compresses = compresses
        self._last_number = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Let a connection in, or not, and serve it until it ends."""
        shell = self._shell
        if any("\udc80" <= letter <= "\udcff" for letter in "".join(request.headers.values())):
            return web.Response(status=400)  # no UTF-8: aiohttp fails at refusing it
        plan = shell.faults.on_accept(shell.clock.now_ms())
        refused = await refuse(request, plan, shell.clock) if plan is not None else None
        if refused is not None:
            return refused
        address = request.remote or NOWHERE
        if not shell.venue.has_room_for(address):
            return web.Response(status=429)
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            max_msg_size=FRAME_BYTES_MAX,
            compress=self._compresses,
            autoping=False,  # a line that is held answers no ping either
        )
        self._last_number += 1
        number = self._last_number
        shell.venue.connect(number, address=address)
        try:
            await socket.prepare(request)
            line = shell.lines[number] = Line(number, socket, request.transport, shell.clock)
            async with TaskGroup() as tasks:
                sending = tasks.create_task(line.send_all())
                await self._read(line, socket)
                if not line.is_hanging_up:
                    sending.cancel()
        finally:
            shell.lines.pop(number, None)
            shell.faults.forget(number)
            shell.release(shell.venue.disconnect(number, shell.clock.now_ms()))
        return socket

    async def _read(self, line: Line, socket: web.WebSocketResponse) -> None:
        """Take frames until there are no more; what comes over a line that was cut is lost."""
        async for message in socket:
            await line.wait_until_readable()
            if line.is_cut:
                continue
            if message.type is WSMsgType.PING:
                line.answer_ping(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._receive(line, message.data)

    def _receive(self, line: Line, frame: str | bytes) -> None:
        """Carry out one frame, now or when the fault menu lets it through."""
        shell, received = self._shell, Received.now(self._shell.clock)
        try:
            request = parse_frame(frame)
        except Refusal as refusal:
            line.send(shell.encode_reply(None, refusal, received))
            return
        plan = shell.faults.on_request(request, line.number, received.now_ms)
        shell.deeds.run(plan.deeds, line.number)
        if plan.delay_s:
            ghost = ghost_of(shell.venue.sessions.by_connection[line.number])
            shell.later(plan.delay_s, lambda: self._carry_out(line, request, plan, received, ghost))
        elif not plan.is_lost:
            self._carry_out(line, request, plan, received)

    def _carry_out(
        self,
        line: Line,
        request: Request,
        plan: RequestPlan,
        received: Received,
        ghost: Session | None = None,
    ) -> None:
        """Have the venue do it, once or more often, and answer once.

        Args:
            ghost: Stands in for the connection should it be gone, for then that is no judge of the
                request any more.
        """
        shell = self._shell
        for turn in range(plan.times):
            now_ms = shell.clock.now_ms()
            if not plan.is_applied:
                reaction = Reaction()
            elif ghost is not None and line.number not in shell.lines:
                reaction = shell.venue.receive_late(ghost, request, now_ms)
            else:
                reaction = shell.venue.receive(line.number, request, now_ms)
            self._conclude(line, request, plan, reaction, received, is_said=turn == 0)

    def _conclude(
        self,
        line: Line,
        request: Request,
        plan: RequestPlan,
        reaction: Reaction,
        received: Received,
        *,
        is_said: bool,
    ) -> None:
        """Tell what a request led to, or come back when its turn in the queue has come."""
        shell, waiting = self._shell, reaction.waiting
        now_ms = shell.clock.now_ms()
        if waiting is not None:
            shell.later(
                max(waiting.ticket.due_ms - now_ms, 0) / 1000,
                lambda: self._conclude(
                    line,
                    request,
                    plan,
                    shell.venue.resume(waiting, shell.clock.now_ms()),
                    received,
                    is_said=is_said,
                ),
            )
            return
        shell.release(reaction.before)
        if is_said:
            shell.deeds.run(shell.faults.after_request(request, line.number, now_ms), line.number)
        if is_said and reaction.has_reply:
            answer = reaction.answer if plan.refusal is None else plan.refusal
            self._reply(line, request, answer, received)
        shell.release(reaction.after)

    def _reply(self, line: Line, request: Request, answer: object, received: Received) -> None:
        shell = self._shell
        plan = shell.faults.on_reply(
            request,
            line.number,
            answer,
            lambda said: shell.encode_reply(request.request_id, said, received),
            shell.clock.now_ms(),
        )
        for sending in plan.sendings:
            shell.send(line, sending)

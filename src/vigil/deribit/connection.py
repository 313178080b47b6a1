"""One WebSocket to the exchange: frames out, frames in, answers matched to calls.

`open_connection` dials; `pump` reads until the connection dies and then raises; it is never
reconnected. A call that was sent and not answered, whatever the reason, ends as `OutcomeUnknown`;
`Transient` says that nothing left this machine. What a frame means is somebody else's matter.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import structlog
from websockets.exceptions import InvalidHandshake, InvalidURI

from vigil.clock import Clock
from vigil.deribit.jsonrpc import (
    FRAME_BYTES_MAX,
    REQUEST_BYTES_MAX,
    ErrorReply,
    Malformed,
    Notification,
    Reply,
    RequestId,
    ServerRequest,
    decode_frame,
    encode_request,
)
from vigil.deribit.websocket import Congested, Ended, TakeMessage, WebSocket, open_websocket
from vigil.errors import Misconfigured, OutcomeUnknown, Rejected, Transient

# Opens one WebSocket to a URL, with a taker for its messages. A simulation hands in its own.
Dial = Callable[[str, TakeMessage], Awaitable[WebSocket]]

_log = structlog.get_logger(__name__)

_CLOSE_S = 1.0

_PENDING_MAX = 256

# Calls that were given up, by their ids: an answer may still come, and say what became of them.
_GIVEN_UP_MAX = 256

_PROBE_ID = "probe"


# Takes an answer that nobody waits for: the method and parameters of the call, and the answer. The
# method is empty when the answer, then an error, is to no call that we know of.
OnLate = Callable[[str, Mapping[str, Any], Reply | ErrorReply], None]


class CertificateRefused(Transient):
    """Whoever answered could not prove to be the exchange; nothing was said to it."""


async def dial_websocket(url: str, take: TakeMessage) -> WebSocket:
    """Open a plain WebSocket."""
    return await open_websocket(url, take, message_bytes_max=FRAME_BYTES_MAX)


class Connection:
    """A WebSocket and the calls that wait on it.

    Args:
        on_notification: Called for every notification, as it is read; must not block. What it
            raises ends the connection and is raised by `pump`.
        on_malformed: Called for every frame that was no message, likewise.
        on_late: Called for every answer to a call whose caller had given up, likewise; and for
            every error that is nobody's answer.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_notification: Callable[[Notification], None],
        on_malformed: Callable[[Malformed], None],
        on_late: OnLate,
    ) -> None:
        self._websocket: WebSocket | None = None
        self._clock = clock
        self._on_notification = on_notification
        self._on_malformed = on_malformed
        self._on_late = on_late
        self._given_up: dict[RequestId, tuple[str, Mapping[str, Any]]] = {}
        self._crossed: dict[RequestId | None, Reply | ErrorReply] = {}
        self._pending: dict[RequestId, asyncio.Future[Reply | ErrorReply]] = {}
        self._last_id = 0
        self._heard_s = self._probed_s = clock.elapsed_s()
        self._is_probed = False
        self._end: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a call could be sent now."""
        return self._end is None and self._websocket is not None and self._websocket.is_open

    @property
    def silent_s(self) -> float:
        """Seconds since the last whole frame arrived."""
        return self._clock.elapsed_s() - self._heard_s

    @property
    def probed_ago_s(self) -> float:
        """Seconds since we last asked for a sign of life, or since the opening."""
        return self._clock.elapsed_s() - self._probed_s

    @property
    def unanswered_s(self) -> float | None:
        """Seconds since we asked for a sign of life that has not come; None when it has."""
        return self.probed_ago_s if self._is_probed else None

    @property
    def pending(self) -> int:
        """Number of calls sent and not answered."""
        return len(self._pending)

    async def open(self, dial: Dial, url: str) -> None:
        """Dial; messages are handed out from here on. Raises: whatever `dial` does."""
        self._websocket = await dial(url, self._take)

    async def pump(self) -> NoReturn:
        """Wait until the connection dies; cancelled, it leaves it open.

        Raises: Transient, with the reason; every call still waiting becomes OutcomeUnknown.
        """
        assert self._websocket is not None
        try:
            await self._websocket.ended()
        except Ended as ended:
            reason = self._end or str(ended)
            self.abandon(reason)
            raise Transient(reason) from ended
        raise AssertionError("a connection that ended says how")

    async def request(
        self, method: str, params: Mapping[str, Any], *, timeout_s: float
    ) -> Reply | ErrorReply:
        """Send one call and wait for its answer, of either kind.

        Raises: Transient, when nothing was sent; Rejected, when the frame is too large to be;
        OutcomeUnknown, when it was sent and no answer came within `timeout_s` or before the
        connection ended.
        """
        if self._websocket is None or not self.is_open:
            raise Transient(f"{method}: not connected ({self._end or 'closing'})")
        if len(self._pending) >= _PENDING_MAX:
            raise Transient(f"{method}: {_PENDING_MAX} calls are waiting already")
        self._last_id += 1
        request_id = self._last_id
        frame = encode_request(request_id, method, params)
        if len(frame) > REQUEST_BYTES_MAX:
            raise Rejected(f"{method}: {len(frame)} bytes are more than {REQUEST_BYTES_MAX}")
        answer: asyncio.Future[Reply | ErrorReply] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        try:
            # From here on the bytes are in the kernel's hands or ours, and nobody can say which.
            # Sending comes before the timer, which costs as much as encoding.
            self._websocket.send(frame)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            if (reply := self._just_answered(request_id, answer)) is not None:
                return reply
            self._give_up(request_id, method, params)
            raise OutcomeUnknown(f"{method}: no answer within {timeout_s} s") from error
        except asyncio.CancelledError:
            self._give_up(request_id, method, params)
            if (reply := self._just_answered(request_id, answer)) is not None:
                self._take_unclaimed(reply)
            raise
        except (Congested, Ended) as error:
            raise Transient(f"{method}: not sent: {error}") from error
        finally:
            del self._pending[request_id]
            if self._crossed:
                self._crossed.pop(request_id, None)  # the same answer given twice
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # mark as seen, or the loop reports it as lost

    def probe(self) -> None:
        """Ask for a sign of life, which `unanswered_s` then waits for."""
        self._is_probed, self._probed_s = True, self._clock.elapsed_s()
        self._say_alive()

    def _say_alive(self) -> None:
        if self._websocket is not None:
            with contextlib.suppress(Congested, Ended):  # pump and silence tell better
                self._websocket.send(encode_request(_PROBE_ID, "public/test", {}))

    def abandon(self, reason: str) -> None:
        """End at once, and let no byte that is still unsent be sent later."""
        if self._end is not None:
            return
        self._end = reason
        if self._websocket is not None:
            self._websocket.abort(reason)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"sent, then the session ended: {reason}"))

    async def close(self) -> None:
        """End in good order, within about a second; nothing may be waiting any more."""
        if self._end is None and not self._pending and self._websocket is not None:
            self._websocket.close()
            with contextlib.suppress(Ended, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._websocket.ended()
        self.abandon("closed")

    def _take(self, frame: bytes) -> None:
        """Hand out one message. Called by the WebSocket, as it reads."""
        self._heard_s = self._clock.elapsed_s()
        message = decode_frame(frame)
        if isinstance(message, Notification):
            self._on_notification(message)
        elif isinstance(message, (Reply, ErrorReply)):
            self._resolve(message)
        elif isinstance(message, ServerRequest):
            if message.kind == "test_request":
                self._say_alive()
        else:
            self._on_malformed(message)

    def _resolve(self, reply: Reply | ErrorReply) -> None:
        if reply.request_id == _PROBE_ID:
            self._is_probed = False
            if isinstance(reply, ErrorReply):
                self._on_late("public/test", {}, reply)
            return
        answer = None if reply.request_id is None else self._pending.get(reply.request_id)
        if answer is None:
            self._take_unclaimed(reply)
        elif not answer.done():
            answer.set_result(reply)
        else:  # given up in this very turn of the loop; its caller has not heard of it yet
            self._crossed[reply.request_id] = reply

    def _take_unclaimed(self, reply: Reply | ErrorReply) -> None:
        """An answer that nobody waits for: too late, or the exchange could not read us."""
        call = None if reply.request_id is None else self._given_up.pop(reply.request_id, None)
        text = str(reply) if isinstance(reply, ErrorReply) else "result"
        if call is None:
            _log.warning("reply.unclaimed", request_id=reply.request_id, reply=text)
            if isinstance(reply, ErrorReply):
                self._on_late("", {}, reply)
            return
        method, params = call
        _log.warning("reply.late", method=method, reply=text)
        self._on_late(method, params, reply)

    def _just_answered(
        self, request_id: RequestId, answer: asyncio.Future[Reply | ErrorReply]
    ) -> Reply | ErrorReply | None:
        """The answer that came in the very turn of the loop in which its caller gave up."""
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            return answer.result()
        return self._crossed.pop(request_id, None)

    def _give_up(self, request_id: RequestId, method: str, params: Mapping[str, Any]) -> None:
        self._given_up[request_id] = (method, params)
        if len(self._given_up) > _GIVEN_UP_MAX:
            del self._given_up[next(iter(self._given_up))]


async def open_connection(
    dial: Dial,
    url: str,
    *,
    clock: Clock,
    timeout_s: float,
    on_notification: Callable[[Notification], None],
    on_malformed: Callable[[Malformed], None],
    on_late: OnLate,
) -> Connection:
    """Dial within `timeout_s`, which covers looking up the name, TLS and handshake.

    Raises: Transient; CertificateRefused; Misconfigured, when the URL is no WebSocket URL.
    """
    connection = Connection(
        clock=clock,
        on_notification=on_notification,
        on_malformed=on_malformed,
        on_late=on_late,
    )
    try:
        async with asyncio.timeout(timeout_s):
            await connection.open(dial, url)
    except (InvalidURI, UnicodeError) as error:
        raise Misconfigured(
            f"{url!r} is no WebSocket URL: set VIGIL_DERIBIT_WS_URL to ws://… or wss://…"
        ) from error
    except TimeoutError as error:
        raise Transient(f"no connection to {url} within {timeout_s} s") from error
    except ssl.SSLCertVerificationError as error:
        raise CertificateRefused(
            f"certificate of {url} refused: {error.verify_message}; nothing was sent. Is the"
            " address right, and this machine's clock?"
        ) from error
    except ssl.SSLError as error:
        raise Transient(f"no TLS with {url}: {error.reason or error}") from error
    except socket.gaierror as error:
        raise Transient(f"the name in {url} cannot be resolved: {error.strerror}") from error
    except (OSError, InvalidHandshake) as error:
        words = str(error) or type(error).__name__
        raise Transient(f"no connection to {url}: {words}") from error
    return connection

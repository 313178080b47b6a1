"""The watch over connections: heartbeats asked for, silence cut short, ended logins silenced.

Source: Deribit API v2, session management; silence as seen on production in September 2026.
"""

from collections.abc import Iterable, Iterator

from vigil.paper.notify.publishing import Publisher, Push
from vigil.paper.reactions import CUT, HangUp, Outgoing
from vigil.paper.session.sessions import Session, Sessions
from vigil.paper.switches import Switches
from vigil.paper.wire import framing

_HEARTBEAT_CLOSE_CODE = 4000


class Watch:
    """Looks at every connection with every tick."""

    def __init__(self, sessions: Sessions, publisher: Publisher, switches: Switches) -> None:
        self._sessions = sessions
        self._publisher = publisher
        self._switches = switches

    def silence_ended_logins(self, now_ms: int) -> None:
        """Private channels end with the login that they were subscribed with."""
        if not self._switches.expired_login_stops_channels:
            return
        for connection_id, session in self._sessions.by_connection.items():
            token = session.token
            if token is None or token is session.silenced or token.is_good(now_ms):
                continue
            session.silenced = token
            self._publisher.forget_private(connection_id)

    def mark_busy(self, pushes: Iterable[Push]) -> None:
        """Connections that get something else need no `heartbeat` beside a `test_request`."""
        pulses = {
            number: session.pulse
            for number, session in self._sessions.by_connection.items()
            if session.pulse is not None and not session.pulse.is_busy
        }
        if not pulses:
            return
        for push in pushes:
            for number in push.connection_ids:
                pulse = pulses.get(number)
                if pulse is not None:
                    pulse.is_busy = True

    def look(self, now_ms: int) -> Iterator[Outgoing]:
        """Signs of life that are due, and the end of those who gave none."""
        for connection_id, session in self._sessions.by_connection.items():
            pulse = session.pulse
            if pulse is None:
                if self._is_idle(session, connection_id, now_ms):
                    yield HangUp(connection_id=connection_id, code=CUT, reason="idle")
            elif pulse.is_mute(now_ms):
                session.pulse = None
                yield HangUp(
                    connection_id=connection_id,
                    code=_HEARTBEAT_CLOSE_CODE,
                    reason="heartbeat close",
                )
            else:
                for kind in pulse.beat(now_ms):
                    yield Push(connection_ids=(connection_id,), message=framing.heartbeat(kind))

    def _is_idle(self, session: Session, connection_id: int, now_ms: int) -> bool:
        """Whether a connection is so quiet that it is cut; true once until it is heard again."""
        if session.heard_ms is None or session.heard_ms > now_ms:
            session.heard_ms = now_ms
        if now_ms - session.heard_ms < self._switches.idle_close_s * 1000:
            return False
        session.heard_ms = now_ms
        return not self._publisher.channels_of(connection_id)

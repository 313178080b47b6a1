"""What faults do to connections. Changes lines; decides nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from vigil.paper.line import Line
from vigil.paper.reactions import HangUp
from vigil.paper.session.sessions import Sessions

_LOGOUT_CLOSE_CODE = 1000
_BROKEN_OFF = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL'

Later = Callable[[float, Callable[[], None]], None]


def strike(
    name: str, values: Mapping[str, Any], line: Line, sessions: Sessions, later: Later
) -> None:
    """Do to one line what the entry of that name says."""
    match name:
        case "reset-connection":
            line.reset(_BROKEN_OFF if values["in_mid_frame"] else b"")
        case "abort-connection":
            line.abort()
        case "close-connection":
            _hang_up(line, values["code"], values["reason"])
        case "logout-connection":
            session = sessions.by_connection.get(line.number)
            if session is not None:
                sessions.log_out(session, invalidates_token=True)
                session.is_ending = True
            _hang_up(line, _LOGOUT_CLOSE_CODE, "")
        case "freeze-connection":
            line.hold(reading=True, writing=True)
            _end_later(line, values, later)
        case "lose-one-way":
            is_in = values["direction"] == "in"
            line.hold(reading=is_in, writing=not is_in)
            _end_later(line, values, later)
        case "drip-connection":
            line.drip(values["drip_bytes"], values["every_s"])
            _end_later(line, values, later)
        case "lag-connection":
            line.lag(values["delay_s"])
            _end_later(line, values, later)
        case _:
            raise AssertionError(name)


def _hang_up(line: Line, code: int, reason: str) -> None:
    line.send(HangUp(connection_id=line.number, code=code, reason=reason))


def _end_later(line: Line, values: Mapping[str, Any], later: Later) -> None:
    """Whatever it is, it passes; without a span it lasts as long as the connection."""
    if values["lasts_s"] is not None:
        is_cut = values.get("then") == "abort"
        later(values["lasts_s"], line.abort if is_cut else line.heal)

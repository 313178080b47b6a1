"""The life of one session, as values: its phases, its deadlines and its token.

Nothing here waits or reads a clock; `link` asks what is due and does it.
Source: Deribit, connection management: set_heartbeat, test_request, token expiry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from vigil.deribit.jsonrpc import DECODE_ERRORS
from vigil.deribit.wire import Unreadable


class Secret(Protocol):
    """A value that renders as stars until it is asked for."""

    def get_secret_value(self) -> str:
        """The secret itself."""
        ...


class Phase(StrEnum):
    """Where a session stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    AUTHENTICATED = "authenticated"
    SUBSCRIBED = "subscribed"
    LIVE = "live"
    ENDED = "ended"


# A session only goes forward, one step at a time, and may end at any.
_NEXT = {
    Phase.CONNECTING: Phase.CONNECTED,
    Phase.CONNECTED: Phase.AUTHENTICATED,
    Phase.AUTHENTICATED: Phase.SUBSCRIBED,
    Phase.SUBSCRIBED: Phase.LIVE,
}


def advance(phase: Phase, to: Phase) -> Phase:
    """The phase after a step; an illegal one is a bug."""
    assert to is Phase.ENDED or _NEXT.get(phase) is to, f"session: {phase} to {to}"
    return to


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long each thing may take, seconds.

    A half-open link is found by silence: the exchange, told to, asks for a sign of life every
    `heartbeat_s`. Observed on production: the first after 12.6 s at the latest, then every 10.7 s.
    So after `probe_after_s` without a frame we ask ourselves, and after `silence_s` the link is
    dead, whatever the kernel says.

    Args:
        heartbeat_s: At least 10, else the exchange refuses it.
        watch_s: How often silence is looked at.
        clock_check_s: How often the exchange's time is measured anew. Two good clocks drift apart
            by seconds in a week, and a session may last longer.
    """

    dial_s: float = 10.0
    call_s: float = 10.0
    heartbeat_s: int = 10
    probe_after_s: float = 11.0
    silence_s: float = 14.0
    watch_s: float = 1.0
    clock_check_s: float = 300.0


class Liveness(StrEnum):
    """What silence means."""

    ALIVE = "alive"
    PROBE = "probe"
    DEAD = "dead"


def liveness(silent_s: float, deadlines: Deadlines) -> Liveness:
    """What to think of a link on which nothing came for that many seconds."""
    if silent_s >= deadlines.silence_s:
        return Liveness.DEAD
    return Liveness.PROBE if silent_s >= deadlines.probe_after_s else Liveness.ALIVE


_RIGHTS_WANTED = ("trade:read_write", "account:read")


class _Grant(msgspec.Struct, gc=False):
    expires_in: float
    refresh_token: str
    scope: str = ""


_grant_decoder = msgspec.json.Decoder(_Grant, strict=False)

_REFRESH_DELAY_S_MIN = 1.0
# Ten days. Loop timers need not reach across the year that a token may live.
_REFRESH_DELAY_S_MAX = 864_000.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Grant:
    """What `public/auth` granted. Never rendered: it holds a token.

    Args:
        expires_in_s: Lifetime of the access token, which the socket itself remembers.
        scope: The rights really granted; may be fewer than asked.
    """

    expires_in_s: float
    refresh_token: str
    scope: str

    @property
    def refresh_after_s(self) -> float:
        """When to renew: at half its life, so that a renewal that fails can be repeated."""
        return min(max(self.expires_in_s / 2, _REFRESH_DELAY_S_MIN), _REFRESH_DELAY_S_MAX)

    @property
    def missing_rights(self) -> tuple[str, ...]:
        """Rights that Vigil uses and the key does not give."""
        granted = self.scope.split()
        return tuple(
            right
            for right in _RIGHTS_WANTED
            if right not in granted and right.replace(":read", ":read_write") not in granted
        )


def to_grant(raw: msgspec.Raw) -> Grant:
    """The answer to `public/auth`.

    Raises: wire.Unreadable. Its message never quotes the answer.
    """
    try:
        shape = _grant_decoder.decode(raw)
    except DECODE_ERRORS:
        raise Unreadable("public/auth answered without a usable token") from None
    if not shape.expires_in > 0:
        raise Unreadable(f"public/auth granted a token for {shape.expires_in} s")
    return Grant(
        expires_in_s=shape.expires_in, refresh_token=shape.refresh_token, scope=shape.scope
    )


def log_in(client_id: str, client_secret: str, session_name: str | None) -> Mapping[str, Any]:
    """Parameters of `public/auth` with the key's own secret.

    With a session name the tokens outlive the socket; without, they die with it.
    """
    params = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
    }
    if session_name is not None:
        params["scope"] = f"session:{session_name}"
    return params


def renew(grant: Grant) -> Mapping[str, Any]:
    """Parameters of `public/auth` with a refresh token, which works once."""
    return {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}

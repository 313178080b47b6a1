"""The life of one session, as values: its phases, its deadlines, its key and its token.

Nothing here waits or reads a clock; `link` and `login` ask what is due and do it.
Source: Deribit, connection management: set_heartbeat, test_request; authentication: public/auth.
"""

import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from vigil.deribit.decoding import Unreadable
from vigil.deribit.jsonrpc import DECODE_ERRORS


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

    A half-open link is found in two ways. By silence: the exchange, told to, asks for a sign of
    life every `heartbeat_s`; observed on production, the first after 12.6 s at the latest, then
    every 10.7 s. And by questions of our own, since a link that only brings is as dead for orders:
    one every `probe_every_s`, which must be answered within `answer_s`.

    Args:
        heartbeat_s: At least 10, else the exchange refuses it.
        watch_s: How often silence is looked at.
        clock_check_s: How often the exchange's time is measured anew. Two good clocks drift apart
            by seconds in a week, and a session may last longer.
        quiet_s: A channel on which nothing came for so long is asked about.
        grace_s: How long after the answer the channel may still speak for itself.
        proof_s: How long the private stream may take to tell of what a reply has confirmed.
    """

    dial_s: float = 10.0
    call_s: float = 10.0
    heartbeat_s: int = 10
    silence_s: float = 14.0
    probe_every_s: float = 5.0
    answer_s: float = 8.0
    watch_s: float = 1.0
    clock_check_s: float = 300.0
    quiet_s: float = 10.0
    grace_s: float = 1.0
    proof_s: float = 5.0


class Liveness(StrEnum):
    """What a link's signs of life say."""

    ALIVE = "alive"
    PROBE = "probe"  # alive, and time to ask
    SILENT = "silent"  # nothing comes
    DEAF = "deaf"  # what we ask is not answered, whatever else comes


def liveness(
    *, silent_s: float, unanswered_s: float | None, probed_ago_s: float, deadlines: Deadlines
) -> Liveness:
    """What to think of a link.

    Args:
        silent_s: Since the last whole frame.
        unanswered_s: Since the question that waits for its answer; None when none does.
        probed_ago_s: Since the last question.
    """
    if silent_s >= deadlines.silence_s:
        return Liveness.SILENT
    if unanswered_s is not None:
        return Liveness.DEAF if unanswered_s >= deadlines.answer_s else Liveness.ALIVE
    return Liveness.PROBE if probed_ago_s >= deadlines.probe_every_s else Liveness.ALIVE


class TroubleKind(StrEnum):
    """What a person should know of, beyond the session's coming and going."""

    LOGIN = "login"  # the exchange does not, or no longer, take our key for what it should be
    CERTIFICATE = "certificate"  # who answers cannot prove to be the exchange
    CREDITS = "credits"  # the exchange says that we asked too much
    CLOCK = "clock"  # our wall clock and the exchange's are far apart
    STREAM = "private_stream"  # the private stream did not tell what had happened
    DISCONNECT = "cancel_on_disconnect"  # our orders would die with the connection


class Trouble(Struct, frozen=True, kw_only=True):
    """One of these has come, with its reason; or is over."""

    kind: TroubleKind
    reason: str | None


class AuthMethod(StrEnum):
    """How the key is proven: by a signature, or by sending the secret itself."""

    SIGNATURE = "signature"
    CREDENTIALS = "credentials"


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key of the account, and how it is used.

    Args:
        session_name: With a name, tokens outlive the socket; without, they die with it.
    """

    client_id: str
    secret: Secret
    method: AuthMethod = AuthMethod.SIGNATURE
    session_name: str | None = None


_RIGHTS_WANTED = ("trade:read_write", "account:read")

# Vigil moves no money; a key that can is a greater loss than need be.
_RIGHTS_NEEDLESS = ("wallet:read_write",)


class _Grant(msgspec.Struct, gc=False):
    expires_in: float
    refresh_token: str
    scope: str = ""


_grant_decoder = msgspec.json.Decoder(_Grant, strict=False)

_REFRESH_DELAY_S_MIN = 0.25
# Ten days. Loop timers need not reach across the year that a token may live.
_REFRESH_DELAY_S_MAX = 864_000.0

# Between two tries to log in again on a session that is still good: doubling, and bounded.
_RETRY_S_MIN = 0.5
_RETRY_S_MAX = 60.0
_DOUBLINGS_MAX = 16


class Grant(Struct, frozen=True, kw_only=True):
    """What `public/auth` granted. Never rendered: it holds a token.

    Args:
        expires_in_s: Lifetime of the access token, which the socket itself remembers.
        scope: The rights really granted; may be fewer than asked.
    """

    expires_in_s: float
    refresh_token: str
    scope: str

    def __repr__(self) -> str:
        return "Grant(…)"

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

    @property
    def needless_rights(self) -> tuple[str, ...]:
        """Rights that the key gives and Vigil would rather not have."""
        granted = self.scope.split()
        return tuple(right for right in _RIGHTS_NEEDLESS if right in granted)


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


def log_in(key: ApiKey, *, timestamp_ms: int, nonce: str) -> Mapping[str, Any]:
    """Parameters of `public/auth` with the key itself.

    Args:
        timestamp_ms: Exchange time; a signature is good for a minute around it.
        nonce: Never used before with this key.
    """
    params: dict[str, Any] = {"client_id": key.client_id}
    if key.method is AuthMethod.CREDENTIALS:
        params["grant_type"] = "client_credentials"
        params["client_secret"] = key.secret.get_secret_value()
    else:
        params["grant_type"] = "client_signature"
        params["timestamp"] = timestamp_ms
        params["nonce"] = nonce
        params["data"] = ""
        params["signature"] = signature(
            key.secret.get_secret_value(), timestamp_ms=timestamp_ms, nonce=nonce
        )
    if key.session_name is not None:
        params["scope"] = f"session:{key.session_name}"
    return params


def signature(client_secret: str, *, timestamp_ms: int, nonce: str, data: str = "") -> str:
    """What proves the secret without sending it, in lower-case hex.

    Source: Deribit, public/auth with client_signature: HMAC-SHA256 over time, nonce and data, each
    on a line of its own, the last line without an end.
    """
    text = f"{timestamp_ms}\n{nonce}\n{data}"
    return hmac.new(client_secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def renew(grant: Grant) -> Mapping[str, Any]:
    """Parameters of `public/auth` with a refresh token, which works once."""
    return {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}


def retry_s(failures: int) -> float:
    """Seconds until the next try to log in, after so many failures in a row, counted from 1."""
    return min(_RETRY_S_MAX, _RETRY_S_MIN * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))

"""`public/auth` and `private/logout`, and the login that private calls need.

Source: Deribit API v2, authentication.
"""

from typing import Any

from vigil.paper.methods.calls import Call, Methods
from vigil.paper.refusals import unauthorized
from vigil.paper.session.tokens import Token

_GRANT_TYPES = ("client_credentials", "client_signature", "refresh_token")


def _auth(call: Call) -> dict[str, Any]:
    params, sessions, session = call.params, call.sessions, call.session
    scope = params.text("scope", "")
    match params.choice("grant_type", _GRANT_TYPES):
        case "refresh_token":
            token = sessions.refresh(session, params.text("refresh_token"), call.now_ms)
            return _granted(call, token)
        case "client_credentials":
            key = sessions.keys.check_secret(
                params.text("client_id"), params.text("client_secret"), address=session.address
            )
        case _:
            timestamp_ms, nonce = params.timestamp("timestamp"), params.text("nonce", "")
            key = sessions.keys.check_signature(
                client_id=params.text("client_id"),
                signature=params.text("signature"),
                text=f"{timestamp_ms}\n{nonce}\n{params.text('data', '')}",
                timestamp_ms=timestamp_ms,
                nonce=nonce,
                now_ms=call.now_ms,
                address=session.address,
            )
    return _granted(call, sessions.log_in(session, key, scope=scope, now_ms=call.now_ms))


def _granted(call: Call, token: Token) -> dict[str, Any]:
    result: dict[str, Any] = {
        "access_token": token.access,
        "refresh_token": token.refresh,
        "expires_in": token.lifetime_s,
        "scope": token.scope,
        "token_type": "bearer",
        "enabled_features": [],
    }
    if token.session_name is not None:
        result["sid"] = f"{token.client_id}.{token.session_name}"
    state = call.params.text_or_none("state")
    if state is not None:
        result["state"] = state
    return result


def _logout(call: Call) -> None:
    """Ends the connection, and its token unless told otherwise; orders stay."""
    call.connection_id()
    invalidates_token = call.params.flag("invalidate_token", default=True)
    call.sessions.log_out(call.session, invalidates_token=invalidates_token)
    call.hangs_up = True


def require_login(call: Call) -> None:
    """Refuse a private call without a valid login. Raises: Refusal 13009."""
    access = call.params.text_or_none("access_token")
    if access is not None:
        call.sessions.present(call.session, access, call.now_ms)
    if not call.session.is_authorized(call.now_ms):
        raise unauthorized()


LOGIN_METHODS: Methods = {
    "public/auth": _auth,
    "private/logout": _logout,
}

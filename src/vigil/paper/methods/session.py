"""Methods about the connection itself: login, heartbeat, subscriptions, cancel-on-disconnect.

Source: Deribit API v2, authentication, session management and subscription management.
"""

from typing import Any

from vigil.paper.methods.calls import Call, Methods
from vigil.paper.notify.publishing import topic_of
from vigil.paper.refusals import Refusal, invalid_param, must_be_websocket, unauthorized
from vigil.paper.session.sessions import Token

HEARTBEAT_S_MIN = 10
_LABEL_LENGTH_MAX = 16
_GRANT_TYPES = ("client_credentials", "client_signature", "refresh_token")


def _auth(call: Call) -> dict[str, Any]:
    params, sessions, session = call.params, call.sessions, call.session
    scope = params.text("scope", "")
    match params.choice("grant_type", _GRANT_TYPES):
        case "refresh_token":
            token = sessions.refresh(session, params.text("refresh_token"), call.now_ms)
            return _granted(token, params.text_or_none("state"))
        case "client_credentials":
            sessions.check_secret(params.text("client_id"), params.text("client_secret"))
        case _:
            timestamp_ms, nonce = params.timestamp("timestamp"), params.text("nonce", "")
            sessions.check_signature(
                client_id=params.text("client_id"),
                signature=params.text("signature"),
                text=f"{timestamp_ms}\n{nonce}\n{params.text('data', '')}",
                timestamp_ms=timestamp_ms,
                nonce=nonce,
                now_ms=call.now_ms,
            )
    token = sessions.log_in(session, scope=scope, now_ms=call.now_ms)
    return _granted(token, params.text_or_none("state"))


def _granted(token: Token, state: str | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "access_token": token.access,
        "refresh_token": token.refresh,
        "expires_in": token.lifetime_s,
        "scope": token.scope,
        "token_type": "bearer",
        "enabled_features": [],
    }
    if state is not None:
        result["state"] = state
    return result


def _logout(call: Call) -> None:
    """Ends the connection, and its token unless told otherwise; orders stay."""
    _connection_id(call)
    if call.session.token is not None and call.params.flag("invalidate_token", default=True):
        call.sessions.revoke(call.session.token)
    call.session.cancels_on_disconnect = False
    call.hangs_up = True


def _set_heartbeat(call: Call) -> str:
    _connection_id(call)
    interval_s = call.params.integer("interval", least=HEARTBEAT_S_MIN)
    call.session.start_heartbeat(interval_s, call.now_ms)
    return "ok"


def _disable_heartbeat(call: Call) -> str:
    _connection_id(call)
    call.session.stop_heartbeat()
    return "ok"


def _public_subscribe(call: Call) -> list[str]:
    return _subscribe(call, is_private=False)


def _private_subscribe(call: Call) -> list[str]:
    return _subscribe(call, is_private=True)


def _subscribe(call: Call, *, is_private: bool) -> list[str]:
    """Channels that do not exist are left out of the answer, without an error."""
    connection_id = _connection_id(call)
    label = call.params.text_or_none("label") if is_private else None
    if label is not None and len(label) > _LABEL_LENGTH_MAX:
        raise invalid_param("label")
    asked = {
        name: topic
        for name in call.params.texts("channels")
        if (topic := topic_of(name, is_private_call=is_private)) is not None
    }
    is_logged_in = call.session.is_authorized(call.now_ms)
    if not is_logged_in and any(topic.needs_login for topic in asked.values()):
        raise Refusal(13778, "raw_subscriptions_not_available_for_unauthorized")
    for name, topic in asked.items():
        if call.publisher.subscribe(connection_id, name, topic, label):
            call.new_channels.append(name)
    return sorted(asked, reverse=True)  # not in the order of the request, as on the exchange


def _unsubscribe(call: Call) -> list[str]:
    connection_id = _connection_id(call)
    names = dict.fromkeys(call.params.texts("channels"))
    return [name for name in names if call.publisher.unsubscribe(connection_id, name)]


def _unsubscribe_all(call: Call) -> str:
    call.publisher.forget(_connection_id(call))
    return "ok"


def _enable_cancel_on_disconnect(call: Call) -> str:
    return _set_cancel_on_disconnect(call, is_on=True)


def _disable_cancel_on_disconnect(call: Call) -> str:
    return _set_cancel_on_disconnect(call, is_on=False)


def _set_cancel_on_disconnect(call: Call, *, is_on: bool) -> str:
    if _cancel_scope(call) == "account":
        call.sessions.account_cancels_on_disconnect = is_on
    else:
        _connection_id(call)
        call.session.cancels_on_disconnect = is_on
    return "ok"


def _get_cancel_on_disconnect(call: Call) -> dict[str, Any]:
    scope = _cancel_scope(call)
    if scope == "account":
        is_on = call.sessions.account_cancels_on_disconnect
    else:
        _connection_id(call)
        is_on = call.session.cancels_on_disconnect
    return {"scope": scope, "enabled": is_on}


def _cancel_scope(call: Call) -> str:
    return call.params.choice("scope", ("connection", "account"), "connection")


def _connection_id(call: Call) -> int:
    if call.session.connection_id is None:
        raise must_be_websocket()
    return call.session.connection_id


def require_login(call: Call) -> None:
    """Refuse a private call without a valid login. Raises: Refusal 13009."""
    access = call.params.text_or_none("access_token")
    if access is not None:
        call.sessions.present(call.session, access, call.now_ms)
    if not call.session.is_authorized(call.now_ms):
        raise unauthorized()


SESSION_METHODS: Methods = {
    "public/auth": _auth,
    "private/logout": _logout,
    "public/set_heartbeat": _set_heartbeat,
    "public/disable_heartbeat": _disable_heartbeat,
    "public/subscribe": _public_subscribe,
    "private/subscribe": _private_subscribe,
    "public/unsubscribe": _unsubscribe,
    "private/unsubscribe": _unsubscribe,
    "public/unsubscribe_all": _unsubscribe_all,
    "private/unsubscribe_all": _unsubscribe_all,
    "private/enable_cancel_on_disconnect": _enable_cancel_on_disconnect,
    "private/disable_cancel_on_disconnect": _disable_cancel_on_disconnect,
    "private/get_cancel_on_disconnect": _get_cancel_on_disconnect,
}

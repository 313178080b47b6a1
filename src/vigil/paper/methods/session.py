"""Methods about the connection itself: heartbeat, subscriptions, cancel-on-disconnect.

Source: Deribit API v2, session management and subscription management.
"""

from typing import Any

from vigil.paper.methods.calls import Call, Methods
from vigil.paper.notify.channels import Topic
from vigil.paper.notify.publishing import topic_of
from vigil.paper.refusals import Refusal, invalid_param
from vigil.paper.session.liveness import Pulse
from vigil.paper.session.rights import covers, needed_of_channel

HEARTBEAT_S_MIN = 10
_LABEL_LENGTH_MAX = 16


def _set_heartbeat(call: Call) -> str:
    call.connection_id()
    interval_s = call.params.integer("interval", least=HEARTBEAT_S_MIN)
    call.session.pulse = Pulse.starting(interval_s, call.now_ms, call.sessions.dice)
    return "ok"


def _disable_heartbeat(call: Call) -> str:
    call.connection_id()
    call.session.pulse = None
    return "ok"


def _public_subscribe(call: Call) -> list[str]:
    return _subscribe(call, is_private=False)


def _private_subscribe(call: Call) -> list[str]:
    return _subscribe(call, is_private=True)


def _subscribe(call: Call, *, is_private: bool) -> list[str]:
    """Channels that do not exist, or are not for this login, are left out without an error."""
    connection_id = call.connection_id()
    label = call.params.text_or_none("label") if is_private else None
    if label is not None and len(label) > _LABEL_LENGTH_MAX:
        raise invalid_param("label")
    asked = {
        name: topic
        for name in call.params.texts("channels")
        if (topic := topic_of(name, call.exchange, is_private_call=is_private)) is not None
        and _may_hear(call, topic)
    }
    is_logged_in = call.session.is_authorized(call.now_ms)
    if not is_logged_in and any(topic.needs_login for topic in asked.values()):
        raise Refusal(13778, "raw_subscriptions_not_available_for_unauthorized")
    for name, topic in asked.items():
        if call.publisher.subscribe(connection_id, name, topic, label):
            call.new_channels.append(name)
    return sorted(asked, reverse=True)  # not in the order of the request, as on the exchange


def _may_hear(call: Call, topic: Topic) -> bool:
    needed = needed_of_channel(topic.family)
    return needed is None or covers(call.session.rights, needed)


def _unsubscribe(call: Call) -> list[str]:
    connection_id = call.connection_id()
    names = dict.fromkeys(call.params.texts("channels"))
    return [name for name in names if call.publisher.unsubscribe(connection_id, name)]


def _unsubscribe_all(call: Call) -> str:
    call.publisher.forget(call.connection_id())
    return "ok"


def _enable_cancel_on_disconnect(call: Call) -> str:
    _set_cancel_on_disconnect(call, is_on=True)
    return "ok"


def _disable_cancel_on_disconnect(call: Call) -> str:
    refuses = call.exchange.switches.unset_cod_is_refused
    if refuses and not _get_cancel_on_disconnect(call)["enabled"]:
        raise Refusal(13042, "cod_not_enabled")
    _set_cancel_on_disconnect(call, is_on=False)
    return "ok"


def _set_cancel_on_disconnect(call: Call, *, is_on: bool) -> None:
    """For the account it holds for connections opened afterwards."""
    if _cancel_scope(call) == "account":
        call.sessions.account_cancels_on_disconnect = is_on
    else:
        call.connection_id()
        call.session.cancels_on_disconnect = is_on


def _get_cancel_on_disconnect(call: Call) -> dict[str, Any]:
    scope = _cancel_scope(call)
    if scope == "account":
        is_on = call.sessions.account_cancels_on_disconnect
    else:
        call.connection_id()
        is_on = call.session.cancels_on_disconnect
    return {"scope": scope, "enabled": is_on}


def _cancel_scope(call: Call) -> str:
    return call.params.choice("scope", ("connection", "account"), "connection")


SESSION_METHODS: Methods = {
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

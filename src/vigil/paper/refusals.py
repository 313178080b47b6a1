"""The exchange's way of saying no: an error object with code, message and data.

Raised anywhere below `venue`, which turns it into the `error` member of a reply.
Source: Deribit API v2, RPC error codes.
"""

from collections.abc import Mapping
from typing import Any

from vigil.errors import VigilError

# The words of the codes that more than one place here refuses with, or may be told to.
WORDS: Mapping[int, str] = {
    10000: "authorization_required",
    10001: "error",
    10004: "order_not_found",
    10009: "not_enough_funds",
    10010: "already_closed",
    10012: "book_closed",
    10019: "locked_by_admin",
    10021: "invalid_amount",
    10028: "too_many_requests",
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    10049: "cancel_on_disconnect_failed",
    10066: "too_many_concurrent_requests",
    10072: "disabled_while_position_lock",
    11008: "already_filled",
    11029: "invalid_arguments",
    11030: "other_reject invalid_reduce_only_order",
    11036: "invalid_trigger_price",
    11042: "permission_denied",
    11044: "not_open_order",
    11050: "bad_request",
    11051: "system_maintenance",
    11054: "post_only_reject",
    11094: "internal_server_error",
    11098: "account_locked",
    13004: "invalid_credentials",
    13008: "request_failed",
    13009: "unauthorized",
    13019: "orderbook_closed",
    13020: "not_found",
    13021: "forbidden",
    13025: "method_switched_off_by_admin",
    13028: "temporarily_unavailable",
    13403: "scope_exceeded",
    13503: "unavailable",
    13666: "request_cancelled_by_user",
    13777: "replaced",
    13888: "timed_out",
}


class Refusal(VigilError):
    """A request is refused.

    Args:
        code: Deribit's error code.
        message: Its short stable word, a limit or reason appended where Deribit does so.
        data: An object or a string; None leaves the member out.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.data = data


def refusal_of(code: int) -> Refusal:
    """A refusal with the word that goes with its code."""
    return Refusal(code, WORDS[code])


def invalid_param(param: str, reason: str = "invalid value") -> Refusal:
    """A parameter is missing or wrong; `reason` in Deribit's words."""
    return Refusal(-32602, "Invalid params", {"reason": reason, "param": param})


def unauthorized() -> Refusal:
    """No login, or a token that is wrong, expired or bound to another connection."""
    return Refusal(13009, "unauthorized", {"reason": "invalid_token"})


def invalid_credentials() -> Refusal:
    """Wrong key, secret or signature."""
    return refusal_of(13004)


def order_not_found() -> Refusal:
    """No such order, or gone from the recent store."""
    return refusal_of(10004)


def not_open_order() -> Refusal:
    """The order is filled, cancelled or triggered already."""
    return refusal_of(11044)


def already_filled() -> Refusal:
    """The order is filled already, in the older wording."""
    return refusal_of(11008)


def not_enough_funds() -> Refusal:
    """The account's margin does not suffice."""
    return refusal_of(10009)


def invalid_trigger_price() -> Refusal:
    """The trigger price is on the wrong side of its reference."""
    return refusal_of(11036)


def post_only_reject() -> Refusal:
    """The order was to be placed as it is or not at all, and would have taken."""
    return refusal_of(11054)


def invalid_reduce_only() -> Refusal:
    """Nothing to reduce, or other reduce-only orders cover the position already."""
    return refusal_of(11030)


def must_be_websocket() -> Refusal:
    """The method needs a connection that lasts."""
    return Refusal(10030, "must_be_websocket_request")

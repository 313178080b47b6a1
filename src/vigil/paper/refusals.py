"""The exchange's way of saying no: an error object with code, message and data.

Raised anywhere below `venue`, which turns it into the `error` member of a reply.
Source: Deribit API v2, RPC error codes.
"""

from typing import Any

from vigil.errors import VigilError


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


def invalid_param(param: str, reason: str = "invalid value") -> Refusal:
    """A parameter is missing or wrong; `reason` in Deribit's words."""
    return Refusal(-32602, "Invalid params", {"reason": reason, "param": param})


def unauthorized() -> Refusal:
    """No login, or a token that is wrong, expired or bound to another connection."""
    return Refusal(13009, "unauthorized", {"reason": "invalid_token"})


def invalid_credentials() -> Refusal:
    """Wrong key, secret or signature."""
    return Refusal(13004, "invalid_credentials")


def order_not_found() -> Refusal:
    """No such order, or gone from the recent store."""
    return Refusal(10004, "order_not_found")


def not_open_order() -> Refusal:
    """The order is filled, cancelled or triggered already."""
    return Refusal(11044, "not_open_order")


def already_filled() -> Refusal:
    """The order is filled already, in the older wording."""
    return Refusal(11008, "already_filled")


def not_enough_funds() -> Refusal:
    """The account's margin does not suffice."""
    return Refusal(10009, "not_enough_funds")


def invalid_trigger_price() -> Refusal:
    """The trigger price is on the wrong side of its reference."""
    return Refusal(11036, "invalid_trigger_price")


def post_only_reject() -> Refusal:
    """The order was to be placed as it is or not at all, and would have taken."""
    return Refusal(11054, "post_only_reject")


def invalid_reduce_only() -> Refusal:
    """Nothing to reduce, or other reduce-only orders cover the position already."""
    return Refusal(11030, "other_reject invalid_reduce_only_order")


def must_be_websocket() -> Refusal:
    """The method needs a connection that lasts."""
    return Refusal(10030, "must_be_websocket_request")

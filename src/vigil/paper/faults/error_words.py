"""Error codes and their words, for errors that are told and not meant.

Source: Deribit API v2, RPC error codes.
"""

import random

WORDS = {
    10000: "authorization_required",
    10001: "error",
    10004: "order_not_found",
    10009: "not_enough_funds",
    10010: "already_closed",
    10019: "locked_by_admin",
    10021: "invalid_amount",
    10028: "too_many_requests",
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    10066: "too_many_concurrent_requests",
    10072: "disabled_while_position_lock",
    11008: "already_filled",
    11029: "invalid_arguments",
    11030: "other_reject invalid_reduce_only_order",
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

_NEW_CODES = (19_000, 19_999)
_NEW_WORDS = ("risk_engine_asleep", "quota_of_tomorrow", "rejected_by_oracle", "see_other")


def word_of(code: int) -> str:
    """The word that goes with a code."""
    return WORDS.get(code, "error")


def odd_error(oddity: str, dice: random.Random) -> tuple[int, str]:
    """A code that nobody has seen, or a known one with another one's word."""
    if oddity == "either":
        oddity = dice.choice(("new", "contradictory"))
    if oddity == "new":
        return dice.randint(*_NEW_CODES), dice.choice(_NEW_WORDS)
    code, other = dice.sample(sorted(WORDS), 2)
    return code, WORDS[other]

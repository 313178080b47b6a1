"""What an error of the exchange means for whoever made the call.

The published tables contradict each other, so a pair of code and message counts only when both are
as expected; every other pair is ambiguous, whatever its code. For orders that is the safe reading:
only a definite refusal may end an intent.
Source: Deribit API v2, RPC error codes; exchange errors seen on the wire.
"""

from vigil.deribit.jsonrpc import ErrorReply
from vigil.deribit.outcome import Refused, Unknown, Verdict
from vigil.errors import OutcomeUnknown, Rejected, Transient, VigilError

_DEFINITE = frozenset({Verdict.REFUSED, Verdict.STALE, Verdict.AUTH_FAILURE, Verdict.FORBIDDEN})

# Messages, which may go on with a limit or a reason. An empty one accepts any.
_LISTED: dict[Verdict, dict[int, str]] = {
    Verdict.REFUSED: {
        10002: "qty_too_low",
        10003: "order_overlap",
        10005: "price_too_low",
        10006: "price_too_low4idx",
        10007: "price_too_high",
        10009: "not_enough_funds",
        10011: "price_not_allowed",
        10013: "pme_max_total_open_orders",
        10014: "pme_max_future_open_orders",
        10015: "pme_max_option_open_orders",
        10016: "pme_max_future_open_orders_size",
        10017: "pme_max_option_open_orders_size",
        10018: "non_pme_max_future_position_size",
        10019: "locked_by_admin",
        10020: "invalid_or_unsupported_instrument",
        10021: "invalid_amount",
        10022: "invalid_quantity",
        10023: "invalid_price",
        10024: "invalid_max_show",
        10025: "invalid_order_id",
        10026: "price_precision_exceeded",
        10027: "non_integer_contract_amount",
        10029: "not_owner_of_order",
        10030: "must_be_websocket_request",
        10031: "invalid_args_for_instrument",
        10032: "whole_cost_too_low",
        10033: "not_implemented",
        10034: "trigger_price_too_high",
        10035: "trigger_price_too_low",
        10036: "invalid_max_show_amount",
        10037: "non_pme_total_short_options_positions_size",
        10038: "pme_max_risk_reducing_orders",
        10039: "not_enough_funds_in_currency",
        10043: "price_wrong_tick",
        10044: "trigger_price_wrong_tick",
        10048: "not_on_this_server",
        10072: "disabled_while_position_lock",
        11013: "max_spot_open_orders",
        11021: "post_only_price_modification_not_possible",
        11022: "max_spot_order_quantity",
        11029: "invalid_arguments",
        11030: "other_reject",
        11035: "no_more_triggers",
        11036: "invalid_trigger_price",
        11038: "no_adv_for_futures",
        11039: "no_adv_postonly",
        11041: "not_adv_order",
        11043: "bad_argument",
        11045: "invalid_event",
        11047: "unsupported_arg_combination",
        11048: "wrong_max_show_for_option",
        11049: "bad_arguments",
        11050: "bad_request",
        11052: "subscribe_error_unsubscribed",
        11053: "transfer_not_found",
        11054: "post_only_reject",
        11055: "post_only_not_allowed",
        11098: "account_locked",
        13010: "value_required",
        13012: "unavailable_in_subaccount",
        13016: "invalid_input",
        13018: "invalid_content_type",
        13020: "not_found",
        13032: "non_unique_order_label",
        13040: "mmp_required",
        13042: "cod_not_enabled",
        13901: "no_more_oto_orders",
        13902: "mass_quotes_disabled",
        13903: "too_many_quotes",
        -32600: "request entity too large",
        -32601: "method not found",
        -32602: "invalid params",
        -32700: "parse error",
    },
    Verdict.STALE: {
        10004: "order_not_found",
        10010: "already_closed",
        10012: "book_closed",
        10045: "can_not_cancel_liquidation_order",
        10046: "can_not_edit_liquidation_order",
        11008: "already_filled",
        11037: "outdated_instrument_for_iv_order",
        11044: "not_open_order",
        11046: "outdated_instrument",
        13019: "orderbook_closed",
        13666: "request_cancelled_by_user",
    },
    Verdict.AUTH_FAILURE: {
        10000: "authorization_required",
        11056: "unauthenticated_public_requests_temporarily_disabled",
        13004: "invalid_credentials",
        13009: "unauthorized",
        13778: "raw_subscriptions_not_available_for_unauthorized",
    },
    Verdict.FORBIDDEN: {
        11042: "permission_denied",
        13021: "forbidden",
        13031: "verification_required",
        13403: "scope_exceeded",
        13668: "",  # a security key is asked for; the message is not documented
    },
    Verdict.RETRY_LATER: {
        10040: "retry",
        10041: "settlement_in_progress",
        10047: "matching_engine_queue_full",
        10049: "cancel_on_disconnect_failed",
        10050: "lock_time_exceeded",
        10066: "too_many_concurrent_requests",
        11051: "system_maintenance",
        12998: "security_key_authorization_over_limit",
        13008: "request_failed",
        13025: "method_switched_off_by_admin",
        13028: "temporarily_unavailable",
        13030: "mmp_trigger",
        13035: "active_combo_limit_reached",
        13036: "unavailable_for_combo_books",
        13043: "quotes_frozen",
        13503: "unavailable",
        13780: "move_positions_over_limit",
    },
    Verdict.SESSION_LOST: {10028: "too_many_requests"},
    # Listed, and proving nothing. 13888 says the request came past `valid_until`; that it was not
    # executed is settled by asking, like any doubt. 13777: another edit overtook this one, so
    # price and size are either one's.
    Verdict.AMBIGUOUS: {
        10001: "error",
        11031: "other_error",
        11094: "internal_server_error",
        13777: "replaced",
        13888: "timed_out",
    },
}

_TABLE = {
    code: (message, verdict)
    for verdict, messages in _LISTED.items()
    for code, message in messages.items()
}

# The reason itself has been reported in place of the word before it.
_ALSO_LISTED = frozenset({(11030, "invalid_reduce_only_order")})


def is_listed(code: int, message: str) -> bool:
    """Whether code and message agree with the table; a pair that does not deserves a log line."""
    listed = _TABLE.get(code)
    if listed is None:
        return False
    expected, said = listed[0], message.casefold().strip()
    if not expected or said == expected or said.startswith((f"{expected} ", f"{expected}:")):
        return True
    return (code, said) in _ALSO_LISTED


def classify(code: int, message: str) -> Verdict:
    """What the caller may do next. Unknown and contradictory pairs are ambiguous."""
    return _TABLE[code][1] if is_listed(code, message) else Verdict.AMBIGUOUS


def outcome_of(error: ErrorReply) -> Refused | Unknown:
    """What an error reply proves about an order, edit or cancel: refused, or nothing."""
    verdict = classify(error.code, error.message)
    if verdict in _DEFINITE:
        return Refused(code=error.code, message=_words(error), verdict=verdict)
    return Unknown(reason=str(error), verdict=verdict, code=error.code)


def query_error(method: str, error: ErrorReply) -> VigilError:
    """What an error reply to a reading call means: rejected for good, or worth another try."""
    text = f"{method}: {error}"
    match classify(error.code, error.message):
        case Verdict.REFUSED | Verdict.STALE | Verdict.AUTH_FAILURE | Verdict.FORBIDDEN:
            return Rejected(text, code=error.code)
        case Verdict.RETRY_LATER | Verdict.SESSION_LOST:
            return Transient(text)
        case Verdict.AMBIGUOUS:
            return OutcomeUnknown(text)


def _words(error: ErrorReply) -> str:
    return f"{error.message} ({error.detail})" if error.detail else error.message

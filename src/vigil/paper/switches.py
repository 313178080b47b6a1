"""Readings of the protocol that its documentation leaves open, as switches.

Each defaults to the reading that is more dangerous for a client, so that what passes here passes
on the exchange whichever way it really behaves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

_WORDS = {"on": True, "true": True, "off": False, "false": False}
# The readings there are, of switches that name one.
_READINGS: Mapping[str, tuple[int | str, ...]] = {
    "self_trading_reject_mode": ("cancel_maker", "reject_taker"),
    "closed_book_code": (13019, 10012),
    "scope_refusal_code": (13403, 13021, 11042),
    "wrong_address_code": (13004, 13021),
    "locked_code": (10019, 11051, 10072),
    "account_locked_code": (11098, 10019),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How the venue behaves where the documentation is silent or contradicts itself.

    Args:
        crossed_secondary_vanishes: A linked stop that is already crossed when its primary fills
            disappears without an order record; else it fires at once.
        crossed_trigger_is_refused: A trigger order placed on the wrong side of its reference is
            refused with 11036; else it fires at once.
        covered_refuses_immediate: Market, IOC and FOK reduce-only orders are refused as well when
            resting reduce-only orders cover the position. Off: the refusals that were reported
            concern resting orders, and a person closing by hand does it with protection in place.
        cancelled_oco_closes_other: Cancelling one order of a pair cancels the other too.
        form_errors_have_own_codes: A wrong amount or price is refused with its code of the error
            table (10002, 10021, 10027, 10043, 10044); else with -32602, reason and parameter.
        market_refuses_time_in_force: A market kind that names a time in force other than the
            default is refused; else it is ignored. The default is what replies show for market
            orders, and clients that fill in every field may send it back.
        fired_outside_band_is_rejected: A stop or take limit whose limit lies outside the price
            band when it fires is rejected, as an order placed then would be; else it rests.
        filled_is_already_filled: Cancelling or editing a filled order is refused with 11008; else
            with 11044, as seen.
        self_trading_reject_mode: What becomes of an order that would meet one of the account's
            own: `cancel_maker` cancels that one, `reject_taker` ends the new one.
        overlap_cancels_taker: An order ended so was taken first, fills what lies before the own
            order, and ends cancelled as `order_overlap`; else it is refused with 10003.
        closed_book_code: How an order on a book that is delivered or inactive is refused: 13019
            or 10012.
        halted_refuses_cancel: A halted book refuses to cancel, too.
        archive_delay_ms: How long after it left the recent store a record reaches the archive; in
            between neither shows it.
        open_orders_max, trigger_orders_max, pending_orders_max: Live orders, those of them that
            wait for a trigger, and secondaries that wait for a fill, that an account may have.
        lists_flat_positions: `get_positions` goes on listing an instrument after it is flat.
        trade_profit_since_settlement: A trade's `profit_loss` is reckoned from the last settlement
            price where the position is older; else always from its average entry.
        realized_profit_has_funding: A position's `realized_profit_loss` holds its funding too.
        signs_option_sizes: Sold options have a negative `size`, as futures do.
        user_seq_per_currency: The transaction log is numbered in each currency for itself.
        insurance_is_correction: What the insurance fund pays after a bankruptcy, and what is
            socialised, is logged as `correction`; else under a name of its own.
        mixes_event_order: Notifications caused by a request, the first ones of a channel included,
            are sent before its reply or after it, as the dice fall; else always as the next switch
            says.
        events_before_reply: Notifications caused by a request are sent before its reply.
        auth_costs_credits: `public/auth` draws on the default pool like any other call.
        test_costs_credits: So does `public/test`, the answer to a heartbeat included.
        narrow_instruments_pool: `public/get_instruments` over a WebSocket has the smaller pool of
            the 2025 change log; else the one that HTTP has.
        overrun_over_http_ends_sessions: Running out of credits over HTTP ends every WebSocket of
            the account; else it only costs that one call. Off: the account's sockets would die
            of what somebody else did, and no report says so.
        grants_unasked_rights: A login that asks for some areas gets the others as its key holds
            them, which is what makes asking for `none` worth its while; else it gets only those
            it named.
        scope_refusal_code: How a call beyond its login's rights is refused: 13403, 13021 or 11042.
        wrong_address_code: How a key used from an address it is not for is refused: 13004 or 13021.
        http_nonce_is_good_once: The nonce of a request signed by header is refused the second time,
            as that of a login is. Off: widely used clients take the millisecond for a nonce and
            send several requests within one, which works.
        drops_oldest_session: The seventeenth named session of a key drops the one granted first;
            else the one that ends first.
        expired_login_stops_channels: Private channels fall silent when their login ends; else they
            go on until the connection does.
        idle_close_s: Seconds after which a connection that sends nothing, hears nothing and has no
            heartbeat is cut: 60 as measured, 600 as documented.
        refuses_missing_id: A request without `id` is refused; else it is answered without one.
        unset_cod_is_refused: Disabling cancel-on-disconnect that is not on is refused with 13042.
        locked_code: How an order is refused while the platform is locked: 10019, 11051 or 10072.
        account_locked_code: How it is refused while the account is locked: 11098 or 10019.
        unlock_drops_logins: When the platform is released, every login has ended.
        empty_side_is_zero: The best price of an empty side of a book is 0; else it is null, as
            documented. A client that knows null only takes 0 for a price.
        closed_instruments_vanish: Subscribing to an instrument whose book is not open is left out
            of the answer; else it is accepted, and silent once it is delivered.
        late_book_events: A change from before it follows every snapshot of a book. Off: the
            exchange calls it rare.
        mixes_formats: Members come in changing order and numbers as `10`, `10.0` or `1.0e1`.
    """

    crossed_secondary_vanishes: bool = True
    crossed_trigger_is_refused: bool = True
    covered_refuses_immediate: bool = False
    cancelled_oco_closes_other: bool = False
    form_errors_have_own_codes: bool = False
    market_refuses_time_in_force: bool = True
    fired_outside_band_is_rejected: bool = True
    filled_is_already_filled: bool = False
    self_trading_reject_mode: str = "cancel_maker"
    overlap_cancels_taker: bool = True
    closed_book_code: int = 13019
    halted_refuses_cancel: bool = True
    archive_delay_ms: int = 60_000
    open_orders_max: int = 10_000
    trigger_orders_max: int = 100
    pending_orders_max: int = 100
    lists_flat_positions: bool = True
    trade_profit_since_settlement: bool = True
    realized_profit_has_funding: bool = True
    signs_option_sizes: bool = False
    user_seq_per_currency: bool = False
    insurance_is_correction: bool = False
    mixes_event_order: bool = True
    events_before_reply: bool = True
    auth_costs_credits: bool = True
    test_costs_credits: bool = True
    narrow_instruments_pool: bool = True
    overrun_over_http_ends_sessions: bool = False
    grants_unasked_rights: bool = True
    scope_refusal_code: int = 13403
    wrong_address_code: int = 13004
    http_nonce_is_good_once: bool = False
    drops_oldest_session: bool = True
    expired_login_stops_channels: bool = True
    idle_close_s: int = 60
    refuses_missing_id: bool = False
    unset_cod_is_refused: bool = True
    locked_code: int = 10019
    account_locked_code: int = 11098
    unlock_drops_logins: bool = True
    empty_side_is_zero: bool = True
    closed_instruments_vanish: bool = True
    late_book_events: bool = False
    mixes_formats: bool = True


def read_switches(settings: Iterable[str]) -> Switches:
    """Switches from texts such as `events_before_reply=off`; the others keep their defaults.

    Raises: ValueError, naming the text and what would do.
    """
    kinds = {field.name: type(field.default) for field in fields(Switches)}
    chosen: dict[str, bool | int | str] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"{setting!r}: no such switch; there are {', '.join(kinds)}")
        if kind is bool and text in _WORDS:
            chosen[name] = _WORDS[text]
        elif kind is int and text.isdecimal():
            chosen[name] = int(text)
        elif kind is str and text:
            chosen[name] = text
        else:
            wanted = {bool: "on or off", int: "a whole number", str: "a word"}[kind]
            raise ValueError(f"{setting!r}: {name} wants {wanted}")
        readings = _READINGS.get(name)
        if readings is not None and chosen[name] not in readings:
            raise ValueError(f"{setting!r}: {name} wants one of {', '.join(map(str, readings))}")
    return Switches(**chosen)  # type: ignore[arg-type] # each is of its field's own kind

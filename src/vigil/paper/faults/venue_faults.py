"""The menu's deeds of the exchange itself: each happens once, now, at a time, or at a request.

Source: the fault matrix's exchange rows.
"""

from decimal import Decimal
from functools import partial

from vigil.paper.faults.entry import (
    REQUIRED,
    Fault,
    Param,
    Point,
    choice,
    flag,
    number,
    text,
    whole,
)
from vigil.paper.faults.entry import seconds as span

_POSITIVE = Decimal("0.000000001")


def _instrument(default: object = REQUIRED) -> Param:
    return text("instrument_name", "the instrument", default)


_AMOUNT = number("amount", "in the instrument's unit; left out, all", None, least=_POSITIVE)
_ORDER = (
    text("order_id", "one order", None),
    text("of_label", "orders with this label; * for every order", None),
)
_SIDE = choice("direction", "which way", "buy", "sell")
_LASTING = span("lasts_s", "how long; left out, until the deed is undone", None)

_platform = partial(Fault, point=Point.VENUE, group="platform")
_sessions = partial(Fault, point=Point.VENUE, group="sessions")
_orders = partial(Fault, point=Point.VENUE, group="orders")
_money = partial(Fault, point=Point.VENUE, group="money")
_market = partial(Fault, point=Point.VENUE, group="market")

PLATFORM_FAULTS = (
    _platform(
        name="drain-credits",
        rows=("E5",),
        summary="the credits are used up: the next calls earn 10028 and end their session",
        params=(choice("pool", "which", "all", "requests", "matching", default="all"),),
    ),
    _platform(
        name="lock-platform",
        rows=("E6",),
        summary="trading is locked, wholly or for one index, or released again",
        params=(
            text("price_index", "one index; left out, all", None),
            flag("locked", "false releases", default=True),
            _LASTING,
        ),
    ),
    _platform(
        name="maintenance",
        rows=("E6", "E7"),
        summary="the platform announces maintenance and answers orders with 11051",
        params=(flag("on", "false ends it", default=True), _LASTING),
    ),
    _platform(
        name="refuse-public",
        rows=("E6",),
        summary="calls without a login earn 11056; platform_state.public_methods_state tells",
        params=(flag("refused", "false lets them in again", default=True), _LASTING),
    ),
    _platform(
        name="slow-matching",
        rows=("E7",),
        summary="each order request takes long: others wait, 10047 from the ninth, 13666 if purged",
        params=(
            whole("processing_ms", "of one request; 0 for none", 1000, least=0, most=60_000),
            _LASTING,
        ),
    ),
    _platform(
        name="settlement-break",
        rows=("E7", "E16"),
        summary="settlement in progress: orders are answered with 10041",
        params=(
            text("instruments", "globs of instrument names, comma-separated", "*"),
            span("lasts_s", "how long", 5.0),
        ),
    ),
    _platform(
        name="skew-clock",
        rows=("E33",),
        summary="the exchange's clock is off, in get_time and in every timestamp",
        params=(
            whole("offset_ms", "how far, ahead if positive", least=-(10**11), most=10**11),
            span("smear_s", "reached little by little over so long; left out, at once", 0.0),
        ),
    ),
    _platform(
        name="remember-exchange",
        rows=("E37",),
        summary="remembers the exchange as it is, for reset-exchange to go back to",
    ),
    _platform(
        name="reset-exchange",
        rows=("E37",),
        summary="the account is wiped, or goes back to what was remembered; connections end",
        params=(choice("to", "which", "empty", "remembered", default="empty"),),
    ),
)

SESSION_FAULTS = (
    _sessions(
        name="expire-tokens",
        rows=("E29",),
        summary="every login expires now; refresh tokens stay good or go with it",
        params=(flag("refresh_too", "refresh tokens are void as well", default=False),),
    ),
    _sessions(
        name="revoke-key",
        rows=("E30",),
        summary="the API key is gone: its logins end, and 13004 from now on, or it is back",
        params=(
            text("client_id", "which", "vigil-paper"),
            flag("revoked", "false gives it back", default=True),
        ),
    ),
    _sessions(
        name="narrow-scope",
        rows=("E30",),
        summary="the key's rights shrink for logins to come, and for those that are",
        params=(
            text("client_id", "which", "vigil-paper"),
            text("scope", "what is left", "account:read trade:read wallet:read"),
        ),
    ),
    _sessions(
        name="block-address",
        rows=("E30",),
        summary="the key may not be used from this address: logging in is forbidden",
        params=(flag("blocked", "false lets it in again", default=True), _LASTING),
    ),
    _sessions(
        name="lock-account",
        rows=("E31",),
        summary="the account is locked, or one currency of it; user.lock tells",
        params=(
            text("currency", "one; left out, all", None),
            flag("locked", "false releases", default=True),
            _LASTING,
        ),
    ),
    _sessions(
        name="lock-positions",
        rows=("E31",),
        summary="position lock: orders, edits and closes earn 10072, cancels pass",
        params=(flag("locked", "false releases", default=True), _LASTING),
    ),
)

ORDER_FAULTS = (
    _orders(
        name="fill-order",
        rows=("E8", "E27"),
        summary="a resting order is filled, in part or wholly",
        params=(
            *_ORDER,
            _AMOUNT,
            number("price", "left out, the order's own", None, least=_POSITIVE),
        ),
    ),
    _orders(
        name="cancel-orders",
        rows=("E8", "E9"),
        summary="the exchange cancels orders, protective ones too",
        params=(
            *_ORDER,
            text("instruments", "globs of instrument names, comma-separated", "*"),
            text("reason", "cancel_reason", "cancel_on_disconnect"),
        ),
    ),
    _orders(
        name="fire-trigger",
        rows=("E25", "E26"),
        summary="a waiting stop or take order is triggered now",
        params=_ORDER,
    ),
    _orders(
        name="same-label-order",
        rows=("E22",),
        summary="a second order with the label of another, of the same kind",
        params=_ORDER,
    ),
    _orders(
        name="trade-by-hand",
        rows=("E11", "E12"),
        summary="somebody places an order on the web, without a label",
        params=(
            _instrument(),
            _SIDE,
            number("amount", "in the instrument's unit", least=_POSITIVE),
            number("price", "of a limit order; left out, at market", None, least=_POSITIVE),
            flag("reduce_only", "as the tick box", default=False),
        ),
    ),
    _orders(
        name="close-by-hand",
        rows=("E11", "E24"),
        summary="somebody closes a position on the web, in part or wholly",
        params=(_instrument(), _AMOUNT),
    ),
    _orders(
        name="close-and-reverse",
        rows=("E23",),
        summary="a position is closed and opened the other way round within the same second",
        params=(_instrument(),),
    ),
    _orders(
        name="foreign-order",
        rows=("E12",),
        summary="a second bot on the account places an order over the API",
        params=(
            _instrument(),
            _SIDE,
            number("amount", "in the instrument's unit", least=_POSITIVE),
            number("price", "of a limit order; left out, at market", None, least=_POSITIVE),
            text("foreign_label", "its label", "bot-b-1"),
        ),
    ),
)

MONEY_FAULTS = (
    _money(
        name="transfer",
        rows=("E12", "E32"),
        summary="money comes in, or goes out if negative; what is left may be too little",
        params=(text("currency", "which"), number("amount", "how much, in the currency")),
    ),
    _money(
        name="liquidate",
        rows=("E13",),
        summary="a position is liquidated, in part or wholly, with tagged trades",
        params=(_instrument(), _AMOUNT),
    ),
    _money(
        name="deleverage",
        rows=("E14",),
        summary="auto-deleveraging takes a position, in part or wholly, without an order",
        params=(_instrument(), _AMOUNT),
    ),
    _money(
        name="socialise-loss",
        rows=("E14",),
        summary="a bankruptcy row: the account bears a part of somebody's loss",
        params=(
            text("currency", "which"),
            number("amount", "the loss, in the currency", least=_POSITIVE),
        ),
    ),
    _money(
        name="block-trade",
        rows=("E12",),
        summary="a trade agreed on outside the book: it and the position are told, no order is",
        params=(
            _instrument(),
            _SIDE,
            number("amount", "in the instrument's unit", least=_POSITIVE),
            number("price", "left out, at mark", None, least=_POSITIVE),
        ),
    ),
    _money(
        name="settle",
        rows=("E16",),
        summary="the daily settlement, now",
    ),
    _money(
        name="deliver",
        rows=("E15",),
        summary="a future or an option expires now and is delivered",
        params=(_instrument(),),
    ),
    _money(
        name="set-funding",
        rows=("E17",),
        summary="the funding rate of a perpetual is set, or flips; it accrues as time passes",
        params=(
            _instrument(),
            number("rate", "for 8 hours, a fraction; left out, the sign flips", None),
            _LASTING,
        ),
    ),
    _money(
        name="bust-trade",
        rows=("E36",),
        summary="a trade is declared void: position and cash go back, a correction row tells",
        params=(text("trade_id", "which; left out, the last", None),),
    ),
    _money(
        name="correct-cash",
        rows=("E36",),
        summary="a correction row moves cash without any trade",
        params=(text("currency", "which"), number("amount", "how much, in the currency")),
    ),
)

MARKET_FAULTS = (
    _market(
        name="change-instrument",
        rows=("E18",),
        summary="tick, least amount or contract size changes",
        params=(
            _instrument(),
            number("tick_size", "new tick", None, least=_POSITIVE),
            number("min_trade_amount", "new least amount", None, least=_POSITIVE),
            number("contract_size", "new contract size", None, least=_POSITIVE),
        ),
    ),
    _market(
        name="suspend-instrument",
        rows=("E18",),
        summary="an instrument's book closes, or opens again",
        params=(
            _instrument(),
            choice("state", "new state", "locked", "halted", "inactive", "open", default="halted"),
            _LASTING,
        ),
    ),
    _market(
        name="move-price",
        rows=("E25", "E38"),
        summary="an index jumps to a price, with no trade in between",
        params=(
            text("price_index", "which"),
            number("price", "where to", None, least=_POSITIVE),
            number(
                "percent", "or by how much of it", None, least=Decimal(-99), most=Decimal(10_000)
            ),
            span("lasts_s", "a spike: back after so long; left out, it stays", None),
        ),
    ),
    _market(
        name="disturb-book",
        rows=("E25", "E38"),
        summary="an order book is thin, empty or crossed, or its mark is far from its last price",
        params=(
            _instrument(),
            choice("how", "which; calm ends it", "thin", "empty", "crossed", "far-mark", "calm"),
            _LASTING,
        ),
    ),
)

VENUE_FAULTS = PLATFORM_FAULTS + SESSION_FAULTS + ORDER_FAULTS + MONEY_FAULTS + MARKET_FAULTS

"""Whatever happens to an account, its money is explained.

A machine trades, waits, settles, expires, liquidates and restarts at random, beside a plain book of
its own: every fill against the mark of now, without any notion of a position, an average or a
session. The exchange's figures must never leave that book by more than its roundings.

`VIGIL_CONSERVATION_EXAMPLES` asks for more histories than the ordinary 200.
"""

import os
import random
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vigil.domain.instrument import contract_of
from vigil.domain.order import Direction, OrderType, TimeInForce, Trigger
from vigil.domain.pnl import gross_pnl
from vigil.paper.account.funding import EIGHT_HOURS_MS
from vigil.paper.account.margin import figures
from vigil.paper.account.orders import LinkedType, OrderForm
from vigil.paper.account.positions import floating_pnl
from vigil.paper.account.summaries import portfolio
from vigil.paper.exchange import Exchange
from vigil.paper.market.delivery_price import next_expiry_ms
from vigil.paper.market.market import BookState
from vigil.paper.persistence import StateFile
from vigil.paper.refusals import Refusal
from vigil.paper.switches import Switches
from vigil.paper.venue import Changes

D = Decimal
ROUNDING = D("1e-8")  # what one booked or shown figure may be off by
START = {"USDC": D(30_000), "BTC": D("0.5"), "ETH": D(8)}
START_MS = 1_795_000_000_000  # a Wednesday, 11:06 UTC
EXAMPLES = int(os.environ.get("VIGIL_CONSERVATION_EXAMPLES", "200"))

# Families of instruments, by how their names begin and whether they are options.
FAMILIES = ("BTC-", "BTC_USDC-", "ETH-", "ETH_USDC-")
SORTS = ("perpetual", "future", "call", "put")
INDEXES = {"BTC-": "btc_usd", "BTC_USDC-": "btc_usdc", "ETH-": "eth_usd", "ETH_USDC-": "eth_usdc"}

families, sorts = st.sampled_from(FAMILIES), st.sampled_from(SORTS)
sides = st.sampled_from(Direction)
lots = st.integers(min_value=1, max_value=30)
orders = st.tuples(
    families,
    sorts,
    sides,
    lots,
    st.sampled_from(
        ("market", "market", "market", "limit", "ioc", "fok", "day", "stop", "bracket")
    ),
    st.integers(min_value=-8, max_value=8),  # twentieths of a percent away from mark
    st.sampled_from((False, False, True)),
)
currencies = st.sampled_from(tuple(START))


class Account(RuleBasedStateMachine):
    """The exchange, and beside it the plain book."""

    @initialize(
        seq_per_currency=st.booleans(),
        profit_since_settlement=st.booleans(),
        insurance_is_correction=st.booleans(),
    )
    def begin(self, seq_per_currency, profit_since_settlement, insurance_is_correction):
        self.switches = Switches(
            user_seq_per_currency=seq_per_currency,
            trade_profit_since_settlement=profit_since_settlement,
            insurance_is_correction=insurance_is_correction,
        )
        self.now_ms = START_MS
        self.exchange = self.build()
        self.file = StateFile(Path(":memory:"))
        # The plain book.
        self.fills = defaultdict(list)  # name -> (direction, amount, price)
        self.held = defaultdict(D)
        self.filled = defaultdict(D)  # by order
        self.ended = {}  # name -> price at which its fills count for good
        self.outside = dict.fromkeys(START, D(0))  # transfers and the like
        self.fees = dict.fromkeys(START, D(0))
        self.funding = dict.fromkeys(START, D(0))
        self.roundings = Counter()
        self.trades_seen = set()
        self.rows_seen = 0
        self.rows_of_trade = defaultdict(list)
        self.balance = dict(START)
        self.next_seq = defaultdict(lambda: 6_001)

    def teardown(self):
        if hasattr(self, "file"):
            self.file.close()

    def build(self, saved=None):
        exchange = Exchange(
            now_ms=self.now_ms,
            dice=random.Random(7),
            balances=START,
            switches=self.switches,
        )
        if saved is not None:
            exchange.restore(saved)
        return exchange

    # -- what may happen -----------------------------------------------------------------------

    @rule(wanted=st.lists(orders, min_size=1, max_size=4))
    def trade(self, wanted):
        """Place orders of many kinds, near the market."""
        for order in wanted:
            self.order(*order)

    @rule(family=families, sort=sorts, wanted=st.lists(orders, min_size=2, max_size=4))
    def churn(self, family, sort, wanted):
        """Trade one instrument to and fro, so that positions are closed in part and turned."""
        for order in wanted:
            self.order(family, sort, *order[2:])

    @rule(
        family=families,
        sort=sorts,
        direction=sides,
        lots=lots,
        permille=st.integers(min_value=-15, max_value=15),
        halves=st.sampled_from((1, 1, 2, 4)),
        ends=st.sampled_from(("stays", "is settled", "is delivered")),
    )
    def there_and_back(self, family, sort, direction, lots, permille, halves, ends):
        """Open, let the price move, and close a part, all, or turn; then let it come to an end."""
        market = self.market(family, sort)
        for side, share in ((direction, 2), (direction.opposite, halves)):
            self.place(
                OrderForm(
                    instrument_name=market.listing.name,
                    direction=side,
                    order_type=OrderType.MARKET,
                    amount=self.amount(market, lots) * share,
                )
            )
            self.set_price(family, 1 + D(permille) / 1000)
        if ends == "is settled":
            self.sleep_over(1)
        elif ends == "is delivered":
            self.end(market)

    def order(self, family, sort, direction, lots, kind, away, reduce_only):
        market = self.market(family, sort)
        instrument = market.listing.instrument
        amount = self.amount(market, lots)
        price = instrument.round_price(market.mark_price * (1 + D(away) / 2000))
        is_market, is_stop = kind in ("market", "bracket"), kind == "stop"
        form = OrderForm(
            instrument_name=market.listing.name,
            direction=direction,
            order_type=OrderType.MARKET
            if is_market
            else OrderType.STOP_MARKET
            if is_stop
            else OrderType.LIMIT,
            amount=amount,
            price=None if is_market or is_stop else price,
            reduce_only=reduce_only,
            trigger=Trigger.MARK if is_stop else None,
            trigger_price=price if is_stop else None,
            time_in_force={
                "ioc": TimeInForce.IMMEDIATE_OR_CANCEL,
                "fok": TimeInForce.FILL_OR_KILL,
                "day": TimeInForce.GOOD_TIL_DAY,
            }.get(kind, TimeInForce.GOOD_TIL_CANCELLED),
            linked_type=LinkedType.OTOCO if kind == "bracket" else None,
            linked=self.bracket(market, direction, amount) if kind == "bracket" else (),
        )
        self.place(form)

    @rule(family=families, sort=st.sampled_from(("perpetual", "future")), direction=sides)
    def gamble(self, family, sort, direction):
        """Take as large a position as margin allows, so that something may happen to it."""
        market = self.market(family, sort)
        for lots in (2000, 1000, 500, 200):
            amount = self.amount(market, lots)
            if self.place(
                OrderForm(
                    instrument_name=market.listing.name,
                    direction=direction,
                    order_type=OrderType.MARKET,
                    amount=amount,
                )
            ):
                break

    @rule(family=families, sort=sorts)
    def close(self, family, sort):
        market = self.market(family, sort)
        position = self.exchange.books.position(market.listing.name)
        if position.side is not None:
            self.place(
                OrderForm(
                    instrument_name=market.listing.name,
                    direction=position.side.opposite,
                    order_type=OrderType.MARKET,
                    amount=abs(position.size),
                    reduce_only=True,
                )
            )

    @rule()
    def cancel_all(self):
        books = self.exchange.books
        for order in tuple(books.live_orders()):
            if order.order_id in books.orders and books.orders[order.order_id].is_live:
                try:
                    self.exchange.engine.cancel_as_asked(order.order_id, now_ms=self.now_ms)
                except Refusal:
                    assert order.is_liquidation or self.is_settling()

    @rule(family=families, permille=st.integers(min_value=-15, max_value=15))
    def move(self, family, permille):
        self.set_price(family, 1 + D(permille) / 1000)

    @rule(family=families, permille=st.sampled_from((-300, -120, -60, 60, 120, 300)))
    def crash(self, family, permille):
        self.set_price(family, 1 + D(permille) / 1000)

    @rule(family=families, ten_thousandths=st.integers(min_value=-30, max_value=30))
    def move_premium(self, family, ten_thousandths):
        name = self.market(family, "perpetual").listing.name
        self.exchange.set_premium(name, D(ten_thousandths) / 10_000, self.now_ms)

    @rule(ms=st.sampled_from((1, 250, 1_000, 5_000, 60_000, 3_600_000)))
    def wait(self, ms):
        self.pass_time(ms)

    @rule(days=st.sampled_from((1, 1, 1, 2, 5)))
    def to_settlement(self, days):
        self.sleep_over(days)

    def sleep_over(self, days):
        """Over as many settlements as there are days, seen or slept through."""
        target_ms = next_expiry_ms(self.now_ms) + (days - 1) * 86_400_000
        self.pass_time(target_ms - self.now_ms)
        assert self.is_settling()
        books, markets = self.exchange.books, self.exchange.markets
        for name, position in books.positions.items():
            assert position.session_rpl == position.realized_profit_loss == 0
            if markets[name].listing.is_perpetual:
                assert floating_pnl(contract_of(name), position, markets[name].mark_price) == 0
        assert all(cash.session_rpl == 0 for cash in books.cash.values())
        assert not any(
            order.time_in_force is TimeInForce.GOOD_TIL_DAY for order in books.live_orders()
        )
        self.pass_time(4_000)
        assert not self.is_settling()

    @rule(currency=currencies, permille=st.integers(min_value=-100, max_value=300))
    def transfer(self, currency, permille):
        amount = START[currency] * permille / 1000
        transfers = self.exchange.clearing.transfers
        if permille % 3 == 0:
            row = transfers.transfer(currency, amount, now_ms=self.now_ms)
        elif permille % 3 == 1:
            row = transfers.correct(currency, amount, now_ms=self.now_ms)
        else:
            row = transfers.socialise(currency, amount, now_ms=self.now_ms)
        self.outside[currency] += row.change
        assert abs(row.change) == abs(amount)

    @rule(family=families, sort=sorts, direction=sides, lots=lots)
    def receive_by_adl(self, family, sort, direction, lots):
        market = self.market(family, sort)
        amount = self.amount(market, lots)
        price = market.listing.instrument.round_price_up(market.mark_price * D("0.99"))
        self.exchange.clearing.transfers.adl(
            market.listing.name, direction, amount, now_ms=self.now_ms, price=price
        )
        self.fill(market.listing.name, direction, amount, price)
        self.roundings[market.listing.currency] += 2

    @rule(family=families, sort=sorts)
    def liquidate(self, family, sort):
        market = self.market(family, sort)
        size = self.exchange.books.position(market.listing.name).size
        if size and market.state is BookState.OPEN:
            self.exchange.clearing.liquidate(market.listing.name, abs(size), self.now_ms)

    @rule(family=families, sort=st.sampled_from(("future", "call", "put")))
    def deliver(self, family, sort):
        self.end(self.market(family, sort))

    def end(self, market):
        if market.listing.is_perpetual:
            return
        self.exchange.clearing.deliver(market.listing.name, self.now_ms)
        assert market.state is BookState.DELIVERED
        assert not list(self.exchange.books.live_orders(market.listing.name))

    @rule()
    def restart(self):
        """Store what happened, as after every request, and go on from the file."""
        before = {currency: self.shown(currency) for currency in START}
        self.save()
        self.look_at_rows()
        self.exchange = self.build(self.file.load())
        assert {currency: self.shown(currency) for currency in START} == before

    # -- what must always hold -----------------------------------------------------------------

    @invariant()
    def everything_is_explained(self):
        self.the_log_adds_up()
        self.positions_are_summed_fills()
        self.money_is_conserved()
        self.figures_agree_with_each_other()
        self.only_liquidation_works_during_liquidation()

    def the_log_adds_up(self):
        """Row by row: numbers without a gap, balances that follow, and trades told in full."""
        self.look_at_trades()
        self.look_at_rows()
        for currency, balance in self.balance.items():
            assert self.exchange.books.cash[currency].balance == balance

    def positions_are_summed_fills(self):
        books = self.exchange.books
        for name, held in self.held.items():
            assert books.position(name).size == (D(0) if name in self.ended else held), name
        assert {name for name, item in books.positions.items() if item.size} <= set(self.fills)
        for order in books.orders.values():
            assert order.filled_amount == self.filled[order.order_id] <= order.amount

    def money_is_conserved(self):
        """Equity is what was there, what came, and every fill against the mark of now."""
        for currency, start in START.items():
            known = start + self.outside[currency] - self.fees[currency] + self.funding[currency]
            for name, fills in self.fills.items():
                market = self.exchange.markets[name]
                if market.listing.currency == currency:
                    at = self.ended.get(name, market.mark_price)
                    known += sum(
                        gross_pnl(market.listing.contract, d, amount, price, at)
                        for d, amount, price in fills
                    )
            account = figures(currency, self.exchange.books, self.exchange.markets)
            roundings = self.roundings[currency] + len(self.exchange.books.positions) + 1
            assert abs(account.equity - known) <= ROUNDING * roundings, (currency, roundings)

    def figures_agree_with_each_other(self):
        books, markets = self.exchange.books, self.exchange.markets
        for currency in START:
            futures = [p for n, p in books.positions.items() if self.is_future_in(n, currency)]
            cash = books.cash[currency]
            assert cash.session_rpl == sum((p.session_rpl for p in futures), D(0))
            account = portfolio(currency, books, markets)
            session = account["futures_session_rpl"] + account["futures_session_upl"]
            assert abs(account["margin_balance"] - account["balance"] - session) <= 2 * ROUNDING
            worth = account["margin_balance"] + account["options_value"]
            assert abs(account["equity"] - worth) <= 2 * ROUNDING
            assert account["initial_margin"] >= account["maintenance_margin"]
            free = account["margin_balance"] - account["initial_margin"]
            assert account["available_funds"] == free

    def only_liquidation_works_during_liquidation(self):
        for order in self.exchange.books.live_orders():
            currency = self.exchange.markets[order.instrument_name].listing.currency
            assert order.is_liquidation or not self.exchange.books.is_liquidating(currency)

    # -- steps ---------------------------------------------------------------------------------

    def market(self, family, sort):
        """The nearest open instrument of a family; which one changes as they expire."""
        for name, market in self.exchange.markets.items():
            if name.startswith(family) and market.state in (BookState.OPEN, BookState.SETTLEMENT):
                listing = market.listing
                is_option = listing.contract.is_option
                found = (
                    "perpetual"
                    if listing.is_perpetual
                    else "future"
                    if not is_option
                    else "call"
                    if listing.is_call
                    else "put"
                )
                if found == sort:
                    return market
        return self.market(family, "perpetual")

    def amount(self, market, lots):
        step = market.listing.instrument.amount_step
        least = market.listing.instrument.min_trade_amount
        notional = D(50) if not market.listing.contract.is_option else D(3_000)
        one = (
            notional
            if market.listing.instrument.amount_unit == "USD"
            else (notional / market.index_price)
        )
        return max((lots * one / step).to_integral_value() * step, least)

    def bracket(self, market, direction, amount):
        tick = market.listing.instrument.round_price
        return tuple(
            OrderForm(
                instrument_name=market.listing.name,
                direction=direction.opposite,
                order_type=order_type,
                amount=amount,
                price=price if order_type is OrderType.LIMIT else None,
                trigger=Trigger.MARK if order_type is OrderType.STOP_MARKET else None,
                trigger_price=price if order_type is OrderType.STOP_MARKET else None,
                reduce_only=True,
            )
            for order_type, price in (
                (OrderType.STOP_MARKET, tick(market.mark_price * (1 - direction.sign * D("0.01")))),
                (OrderType.LIMIT, tick(market.mark_price * (1 + direction.sign * D("0.01")))),
            )
        )

    def place(self, form):
        try:
            self.exchange.engine.place(form, now_ms=self.now_ms)
        except Refusal:
            return False
        return True

    def set_price(self, family, factor):
        name = INDEXES[family]
        price = self.exchange.prices[name] * factor
        if D(1) < price < D(10_000_000):
            self.exchange.set_price(name, price, self.now_ms)

    def pass_time(self, ms):
        """Let time go by with everything standing still; funding is reckoned here first."""
        for market in self.exchange.markets.values():
            size = self.exchange.books.position(market.listing.name).size
            if market.listing.is_perpetual and size:
                worth = size / market.index_price
                if market.listing.contract.is_linear:
                    worth = size * market.index_price
                paid = worth * market.current_funding * ms / EIGHT_HOURS_MS
                self.funding[market.listing.currency] -= paid
        self.now_ms += ms
        self.exchange.advance(ms / 1000, self.now_ms)

    def fill(self, name, direction, amount, price):
        self.fills[name].append((direction, amount, price))
        self.held[name] += direction.sign * amount

    def look_at_trades(self):
        for trade in sorted(self.exchange.books.trades, key=lambda trade: trade.trade_seq):
            if trade.trade_id in self.trades_seen:
                continue
            self.trades_seen.add(trade.trade_id)
            self.filled[trade.order_id] += trade.amount
            before = self.held[trade.instrument_name]
            if trade.reduce_only:
                after = before + trade.direction.sign * trade.amount
                assert abs(after) < abs(before)
                assert before * after >= 0
            self.fill(trade.instrument_name, trade.direction, trade.amount, trade.price)
            self.fees[trade.fee_currency] += trade.fee
            self.roundings[trade.fee_currency] += 2
            assert (trade.liquidation is not None) == (trade.order_type is OrderType.LIQUIDATION)
            rows = self.rows_of_trade
            rows[trade.trade_id].append(trade)

    def look_at_rows(self):
        log = self.exchange.books.log
        for row in log[self.rows_seen :]:
            scope = row.currency if self.switches.user_seq_per_currency else ""
            assert row.user_seq == self.next_seq[scope]
            self.next_seq[scope] += 1
            self.balance[row.currency] += row.change
            assert row.balance == self.balance[row.currency], row
            self.roundings[row.currency] += 2
            match row.row_type:
                case "trade" | "adl_transfer":
                    is_option = self.exchange.markets[
                        row.instrument_name
                    ].listing.contract.is_option
                    assert row.change == (row.cashflow if is_option else 0) - row.commission
                case "delivery":
                    assert row.change == row.cashflow - row.commission
                    self.fees[row.currency] += row.commission
                    self.ended[row.instrument_name] = row.price
                case "options_settlement_summary":
                    assert row.change == 0
                case "bankruptcy" | "correction" if row.note == "insurance fund":
                    self.outside[row.currency] += row.change
                case _:
                    assert row.change == row.cashflow
        self.check_trade_rows(log[self.rows_seen :])
        assert all(a.timestamp_ms <= b.timestamp_ms for a, b in pairwise(log[self.rows_seen :]))
        self.rows_seen = len(log)

    def check_trade_rows(self, rows):
        """The rows of one trade add up to it; one that crosses zero has two of them."""
        by_trade = defaultdict(list)
        for row in rows:
            if row.row_type == "trade":
                by_trade[row.trade_id].append(row)
        for trade_id, parts in by_trade.items():
            (trade,) = self.rows_of_trade[trade_id]
            assert sum(part.amount for part in parts) == trade.amount
            assert sum(part.commission for part in parts) == trade.fee
            words = [part.side.split()[0] for part in parts]
            is_flip = 0 < trade.closed_amount < trade.amount
            assert words == (["close", "open"] if is_flip else words[:1])
            assert all(part.side.split()[1] == trade.direction for part in parts)

    def save(self):
        exchange = self.exchange
        self.look_at_trades()
        self.file.save(
            Changes(
                account=exchange.account_state(),
                entries=tuple(exchange.drain()),
                minutes=exchange.floor.indexes.drain_minutes(),
                listings=exchange.floor.drain_listings(),
                deliveries=exchange.floor.indexes.drain_deliveries(),
            )
        )

    def shown(self, currency):
        return portfolio(currency, self.exchange.books, self.exchange.markets)

    def is_settling(self):
        return any(m.state is BookState.SETTLEMENT for m in self.exchange.markets.values())

    def is_future_in(self, name, currency):
        listing = self.exchange.markets[name].listing
        return listing.currency == currency and not listing.contract.is_option


TestAccount = Account.TestCase
TestAccount.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

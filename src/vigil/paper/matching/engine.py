"""The matching engine: what may be asked of it, and how it follows the market.

Every public method is one step of the exchange: it takes `now_ms`, changes the books, and leaves
what happened in their journal. It refuses to know who is connected and what the wire looks like.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.order import TimeInForce
from vigil.paper.account.books import Books
from vigil.paper.account.margin import can_afford
from vigil.paper.account.orders import (
    LinkedType,
    OrderForm,
    OrderState,
    Origin,
    PaperOrder,
)
from vigil.paper.market.market import Market
from vigil.paper.matching.admission import admit, admit_edit, check_not_late
from vigil.paper.matching.execution import Execution
from vigil.paper.matching.floor import REJECT_TAKER, Floor
from vigil.paper.matching.form_checks import reckoned_price
from vigil.paper.matching.gates import check_may_cancel, check_may_enter, is_trading
from vigil.paper.matching.pricing import check_band, slid_price, would_take
from vigil.paper.matching.records import next_order_id, record_of
from vigil.paper.matching.triggers import is_crossed, started
from vigil.paper.refusals import (
    Refusal,
    already_filled,
    invalid_trigger_price,
    not_enough_funds,
    not_open_order,
    order_not_found,
)
from vigil.paper.switches import Switches


class MatchingEngine:
    """Places, edits, cancels, and follows the market.

    Args:
        books: Changed by every step.
        markets: By instrument name; read only, but for the tape.
        locked_indexes: Price indexes whose instruments nobody may trade for now.
    """

    def __init__(
        self,
        books: Books,
        markets: Mapping[str, Market],
        switches: Switches,
        locked_indexes: Collection[str] = (),
    ) -> None:
        self._books = books
        self._markets = markets
        self._switches = switches
        self._locked_indexes = locked_indexes
        self._floor = Floor(books, markets, switches, locked_indexes)

    # -- placing -------------------------------------------------------------------------------

    def place(
        self,
        form: OrderForm,
        *,
        now_ms: int,
        connection_id: int | None = None,
        may_be_covered: bool = False,
        origin: Origin = Origin.API,
    ) -> Execution:
        """Take a new order with its secondaries.

        Args:
            connection_id: Whose end may cancel it; None for whoever has no connection.
            may_be_covered: Other reduce-only orders may cover the position already.
            origin: Where it was given: a person's orders come from the web.

        Returns: The order as it stands, and its fills until now.
        Raises: Refusal; the books are unchanged then.
        """
        self._books.age(now_ms)
        form = admit(
            form,
            self._books,
            self._markets,
            self._switches,
            now_ms=now_ms,
            locked_indexes=self._locked_indexes,
            may_be_covered=may_be_covered,
        )
        market = self._markets[form.instrument_name]
        order = record_of(form, now_ms=now_ms, connection_id=connection_id, origin=origin)
        order = started(order, market)
        self._check_entry(order)
        order = replace(order, order_id=next_order_id(order, market.listing, self._books))
        match form.linked_type:
            case LinkedType.OTO | LinkedType.OTOCO:
                return self._floor.enter(self._with_pending_secondaries(order, form), now_ms)
            case LinkedType.OCO:
                return self._place_pair(order, form, now_ms)
            case None:
                return self._floor.enter(order, now_ms)

    def _check_entry(self, order: PaperOrder) -> None:
        """What only an order that enters now has to pass. Raises: Refusal."""
        if not can_afford(self._books, self._markets, order):
            raise not_enough_funds()
        switches = self._switches
        is_refused = switches.self_trading_reject_mode == REJECT_TAKER
        if is_refused and not switches.overlap_cancels_taker and self._floor.overlaps_own(order):
            raise Refusal(10003, "order_overlap")

    def _with_pending_secondaries(self, order: PaperOrder, form: OrderForm) -> PaperOrder:
        pendings = []
        for secondary in form.linked:
            pending = replace(
                self._secondary_of(order, secondary),
                order_id=f"OTO-{self._books.next_number('oto')}",
                state=OrderState.UNTRIGGERED,
                is_pending=True,
                primary_order_id=order.order_id,
            )
            pendings.append(self._books.put(pending, is_silent=True).order_id)
        return replace(order, oto_order_ids=tuple(pendings))

    def _place_pair(self, order: PaperOrder, form: OrderForm, now_ms: int) -> Execution:
        """Two live orders that cancel each other, of the second what the first has left of it."""
        listing = self._markets[order.instrument_name].listing
        other = self._secondary_of(order, form.linked[0])
        pair_ref = self._floor.next_pair_ref()
        order = replace(order, oco_ref=pair_ref)
        other_id = next_order_id(other, listing, self._books)
        other = replace(other, order_id=other_id, oco_ref=pair_ref)
        result = self._floor.enter(order, now_ms)
        self._floor.enter_second(other, order.order_id, now_ms)
        return Execution(order=self._books.orders[order.order_id], trades=result.trades)

    def _secondary_of(self, order: PaperOrder, form: OrderForm) -> PaperOrder:
        record = record_of(
            form,
            now_ms=order.creation_timestamp_ms,
            connection_id=order.connection_id,
            origin=order.origin,
        )
        return replace(record, fill_condition=order.fill_condition)

    # -- changing ------------------------------------------------------------------------------

    def live_order(self, order_id: str, *, now_ms: int) -> PaperOrder:
        """The order, if it can still be changed.

        Raises: Refusal 10004 when it is unknown or left the recent store, 11044 when it is closed.
        """
        self._books.age(now_ms)
        order = self._books.orders.get(order_id)
        if order is None:
            raise order_not_found()
        if order.state is OrderState.FILLED and self._switches.filled_is_already_filled:
            raise already_filled()
        if not order.is_live:
            raise not_open_order()
        return order

    def apply_edit(
        self, edited: PaperOrder, *, now_ms: int, valid_until_ms: int | None = None
    ) -> Execution:
        """Put an edited order back to work; its `amount` is the new total.

        Raises: Refusal: the edit is wrong or late, the market does not allow it, or margin does
            not suffice. The order is unchanged then.
        """
        market = self._markets[edited.instrument_name]
        check_may_enter(market, self._locked_indexes, self._switches)
        check_not_late(valid_until_ms, now_ms)
        edited = admit_edit(edited, self._books, market, self._switches)
        edited = replace(
            edited, is_replaced=True, is_auto_replaced=False, last_update_timestamp_ms=now_ms
        )
        if edited.is_pending:
            return Execution(order=self._books.put(edited))
        if edited.waits_for_trigger:
            if self._switches.crossed_trigger_is_refused and is_crossed(edited, market):
                raise invalid_trigger_price()
            return self._floor.enter(edited, now_ms)
        assert edited.price is not None
        check_band(market, edited.direction, edited.price)
        if edited.post_only and would_take(market, edited.direction, edited.price):
            if edited.reject_post_only:
                # Source: change log 2023-08-01: such an edit costs the order its life.
                return Execution(order=self._floor.close(edited, "edit_post_only_reject", now_ms))
            price = slid_price(market, edited.direction, edited.price, reject=False)
            edited = replace(edited, price=price)
        self._check_entry(edited)
        return self._floor.enter(edited, now_ms)

    def cancel(self, order_id: str, reason: str, *, now_ms: int) -> PaperOrder:
        """Cancel a live or pending order, whatever the state of its book.

        Raises: Refusal 10004 when it is unknown, 11044 when it is closed.
        """
        order = self.live_order(order_id, now_ms=now_ms)
        closed = self._floor.close(order, reason, now_ms)
        if self._switches.cancelled_oco_closes_other:
            self._floor.cancel_others(closed, now_ms)
        return closed

    def cancel_as_asked(self, order_id: str, *, now_ms: int) -> PaperOrder:
        """Cancel at the account's request. Raises: Refusal."""
        order = self.live_order(order_id, now_ms=now_ms)
        check_may_cancel(self._markets[order.instrument_name], self._switches)
        if order.is_liquidation:
            raise Refusal(10045, "can_not_cancel_liquidation_order")
        return self.cancel(order_id, "user_request", now_ms=now_ms)

    def fill(self, order: PaperOrder, *, price: Decimal, amount: Decimal, now_ms: int) -> Execution:
        """Let somebody trade with a resting order, whatever the book says."""
        return self._floor.fill(order, price, amount, now_ms)

    def fire(self, order: PaperOrder, *, now_ms: int) -> None:
        """Fire a trigger order, whatever its reference says."""
        self._floor.fire(order, now_ms)

    # -- following the market ------------------------------------------------------------------

    def follow_market(self, instrument_name: str, *, now_ms: int) -> None:
        """After a price move: fire the triggers it reached, fill the orders it crossed."""
        self._books.age(now_ms)
        market = self._markets[instrument_name]
        if not is_trading(market, self._locked_indexes):
            return
        for known in tuple(self._books.live_orders(instrument_name)):
            order = self._books.orders[known.order_id]  # an earlier one may have closed it
            if not order.is_live:
                continue
            if order.advanced is not None:
                order = self._repriced(order, market, now_ms)
            self._floor.follow(order, market, now_ms)

    def expire_day_orders(self, now_ms: int) -> None:
        """End the trading day: good-til-day orders are cancelled, waiting and pending ones too.

        Source: Deribit API v2, `good_til_day`; cancel reason `settlement`.
        """
        records = self._books.order_records
        for known in (*records.live(), *records.pending()):
            order = self._books.orders.get(known.order_id)
            if order is None or not order.is_live:
                continue
            if order.time_in_force is TimeInForce.GOOD_TIL_DAY:
                self._floor.close(order, "settlement", now_ms)

    def _repriced(self, order: PaperOrder, market: Market, now_ms: int) -> PaperOrder:
        """An order priced in dollars or volatility, after its index moved."""
        assert order.advanced is not None
        assert order.advanced_price is not None
        price = reckoned_price(order.advanced, order.advanced_price, market)
        if price == order.price:
            return order
        return self._books.put(
            replace(
                order,
                price=price,
                is_replaced=True,
                is_auto_replaced=True,
                last_update_timestamp_ms=now_ms,
            )
        )

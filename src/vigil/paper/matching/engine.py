"""The matching engine: orders against the book, triggers against references, linked orders.

Every public method is one step of the exchange: it takes `now_ms`, changes the books, and leaves
what happened in their journal. It refuses to know who is connected and what the wire looks like.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.domain.order import Direction, OrderType, TimeInForce
from vigil.paper.account.books import Books
from vigil.paper.account.margin import can_afford
from vigil.paper.account.orders import (
    STOP_TYPES,
    LinkedType,
    OrderForm,
    OrderState,
    PaperOrder,
)
from vigil.paper.market.market import Market
from vigil.paper.matching.admission import admit, check_band, is_crossed, slid_price, would_take
from vigil.paper.matching.execution import Execution, execute
from vigil.paper.matching.linked import due_secondaries, remaining_of_other
from vigil.paper.refusals import Refusal, not_open_order, order_not_found
from vigil.paper.switches import Switches

_SPAWNED_TYPE = {
    OrderType.STOP_MARKET: OrderType.MARKET,
    OrderType.TAKE_MARKET: OrderType.MARKET,
    OrderType.STOP_LIMIT: OrderType.LIMIT,
    OrderType.TAKE_LIMIT: OrderType.LIMIT,
}


class MatchingEngine:
    """Places, edits, cancels, and follows the market.

    Args:
        books: Changed by every step.
        markets: By instrument name; read only, but for the tape.
    """

    def __init__(self, books: Books, markets: Mapping[str, Market], switches: Switches) -> None:
        self._books = books
        self._markets = markets
        self._switches = switches

    def place(
        self,
        form: OrderForm,
        *,
        now_ms: int,
        connection_id: int | None = None,
        may_be_covered: bool = False,
    ) -> Execution:
        """Take a new order with its secondaries.

        Returns: The order as it stands, and its fills until now.
        Raises: Refusal; the books are unchanged then.
        """
        form = admit(
            form,
            self._books,
            self._markets,
            self._switches,
            now_ms=now_ms,
            may_be_covered=may_be_covered,
        )
        order = self._record(form, now_ms=now_ms, connection_id=connection_id)
        if not can_afford(self._books, self._markets, order):
            raise Refusal(10009, "not_enough_funds")
        order = replace(order, order_id=self._order_id(order))
        match form.linked_type:
            case LinkedType.OTO | LinkedType.OTOCO:
                order = self._with_pending_secondaries(order, form)
                return self._enter(order, now_ms)
            case LinkedType.OCO:
                return self._place_pair(order, form, now_ms)
            case None:
                return self._enter(order, now_ms)

    def cancel(self, order_id: str, reason: str, *, now_ms: int) -> PaperOrder:
        """Cancel a live or pending order.

        Raises: Refusal 10004 when it is unknown, 11044 when it is closed.
        """
        order = self.live_order(order_id)
        closed = self._close(order, reason, now_ms)
        if self._switches.cancelled_oco_closes_other:
            self._cancel_others(closed, now_ms)
        return closed

    def live_order(self, order_id: str) -> PaperOrder:
        """The order, if it can still be changed. Raises: Refusal 10004 or 11044."""
        order = self._books.orders.get(order_id)
        if order is None:
            raise order_not_found()
        if not order.is_live:
            raise not_open_order()
        return order

    def apply_edit(self, edited: PaperOrder, *, now_ms: int) -> Execution:
        """Put an edited order, already checked for amounts and ticks, back to work.

        Raises: Refusal: the market does not allow the new price or margin does not suffice.
        """
        market = self._markets[edited.instrument_name]
        edited = replace(edited, is_replaced=True, last_update_timestamp_ms=now_ms)
        if not can_afford(self._books, self._markets, edited):
            raise Refusal(10009, "not_enough_funds")
        if edited.is_pending:
            return Execution(order=self._books.put(edited))
        if edited.waits_for_trigger:
            if self._switches.crossed_trigger_is_refused and is_crossed(edited, market):
                raise Refusal(11036, "invalid_trigger_price")
            return self._enter(edited, now_ms)
        assert edited.price is not None
        check_band(market, edited.direction, edited.price)
        if edited.post_only and would_take(market, edited.direction, edited.price):
            if edited.reject_post_only:
                # Source: change log 2023-08-01: such an edit costs the order its life.
                return Execution(order=self._close(edited, "edit_post_only_reject", now_ms))
            price = slid_price(market, edited.direction, edited.price, reject=False)
            edited = replace(edited, price=price)
        return self._enter(edited, now_ms)

    def follow_market(self, instrument_name: str, *, now_ms: int) -> None:
        """After a price move: fire the triggers it reached, fill the orders it crossed."""
        market = self._markets[instrument_name]
        for known in tuple(self._books.live_orders(instrument_name)):
            order = self._books.orders[known.order_id]  # an earlier one may have closed it
            if not order.is_live:
                continue
            if order.waits_for_trigger:
                if is_crossed(order, market):
                    self._fire(order, now_ms)
            else:
                self._fill_resting(order, market, now_ms)

    # -- entering ------------------------------------------------------------------------------

    def _enter(self, order: PaperOrder, now_ms: int) -> Execution:
        """Let an order wait, or match it against the book and then let it rest or end."""
        market = self._markets[order.instrument_name]
        if order.waits_for_trigger:
            order = self._books.put(replace(order, state=OrderState.UNTRIGGERED))
            if is_crossed(order, market):
                self._fire(order, now_ms)
            return Execution(order=self._books.orders[order.order_id])
        bound = market.bound(order.direction)
        if order.order_type is OrderType.MARKET:
            order = replace(order, price=bound)
        assert order.price is not None
        levels = market.takeable(order.direction, order.price)
        is_killed = order.time_in_force is TimeInForce.FILL_OR_KILL and (
            sum((amount for _, amount in levels), ZERO) < order.remaining
        )
        result = execute(
            order, [] if is_killed else levels, self._books, self._markets, now_ms=now_ms
        )
        return self._rest_or_end(order, result, now_ms)

    def _rest_or_end(self, before: PaperOrder, result: Execution, now_ms: int) -> Execution:
        order = replace(result.order, last_update_timestamp_ms=now_ms)
        if order.state is OrderState.OPEN and order.is_immediate:
            order = replace(order, state=OrderState.CANCELLED)
        self._books.put(order)
        self._follow_links(order, order.filled_amount - before.filled_amount, now_ms)
        return Execution(order=self._books.orders[order.order_id], trades=result.trades)

    def _fill_resting(self, order: PaperOrder, market: Market, now_ms: int) -> None:
        """Fill a resting limit order as maker, at its own price, with what came across."""
        assert order.price is not None
        crossing = market.takeable(order.direction, order.price)
        if not crossing:
            return
        offers = [(order.price, sum((amount for _, amount in crossing), ZERO))]
        result = execute(order, offers, self._books, self._markets, now_ms=now_ms, is_maker=True)
        self._rest_or_end(order, result, now_ms)

    def _fire(self, order: PaperOrder, now_ms: int) -> None:
        """A trigger is reached: the waiting order ends, and a new one with its label enters.

        A reduce-only order that finds nothing to reduce, or one that margin does not allow, is
        rejected at this point and no new order exists.
        """
        spawned = replace(
            order,
            order_type=_SPAWNED_TYPE[order.order_type],
            state=OrderState.OPEN,
            creation_timestamp_ms=now_ms,
            last_update_timestamp_ms=now_ms,
            trigger_order_id=order.order_id,
            oco_ref=None,
            oto_order_ids=(),
            is_primary_otoco=False,
            is_replaced=False,
        )
        position = self._books.position(order.instrument_name)
        is_rejected = (
            order.reduce_only and not position.reducible_by(order.direction)
        ) or not can_afford(self._books, self._markets, spawned)
        state = OrderState.REJECTED if is_rejected else OrderState.TRIGGERED
        ended = self._books.put(replace(order, state=state, last_update_timestamp_ms=now_ms))
        self._cancel_others(ended, now_ms)
        if is_rejected:
            self._close_secondaries(ended, now_ms)
            return
        # The secondaries of a trigger order wait for the fills of the order that it spawned.
        spawned = replace(
            spawned,
            order_id=self._order_id(spawned),
            oto_order_ids=order.oto_order_ids,
            is_primary_otoco=order.is_primary_otoco,
        )
        self._enter(spawned, now_ms)

    # -- linked orders -------------------------------------------------------------------------

    def _with_pending_secondaries(self, order: PaperOrder, form: OrderForm) -> PaperOrder:
        pendings = []
        for secondary in form.linked:
            record = self._record(
                secondary, now_ms=order.creation_timestamp_ms, connection_id=order.connection_id
            )
            pending = replace(
                record,
                order_id=f"OTO-{self._books.next_number('oto')}",
                state=OrderState.UNTRIGGERED,
                is_pending=True,
                primary_order_id=order.order_id,
                fill_condition=form.fill_condition,
            )
            pendings.append(self._books.put(pending, is_silent=True).order_id)
        return replace(
            order,
            oto_order_ids=tuple(pendings),
            is_primary_otoco=form.linked_type is LinkedType.OTOCO,
            fill_condition=form.fill_condition,
        )

    def _place_pair(self, order: PaperOrder, form: OrderForm, now_ms: int) -> Execution:
        """Two live orders that cancel each other; if the first is done at once, only it exists."""
        other = self._record(form.linked[0], now_ms=now_ms, connection_id=order.connection_id)
        pair_ref = self._next_pair_ref()
        order = replace(order, oco_ref=pair_ref, fill_condition=form.fill_condition)
        other = replace(
            other,
            order_id=self._order_id(other),
            oco_ref=pair_ref,
            fill_condition=form.fill_condition,
        )
        result = self._enter(order, now_ms)
        if result.order.is_live:
            self._enter_secondary(other, self._markets[order.instrument_name], now_ms)
        return Execution(order=self._books.orders[order.order_id], trades=result.trades)

    def _follow_links(self, order: PaperOrder, filled_now: Decimal, now_ms: int) -> None:
        """What a fill or the end of an order means for the orders linked to it."""
        if filled_now:
            self._reduce_others(order, filled_now, now_ms)
            self._activate_secondaries(order, now_ms)
        if not order.is_live:
            self._close_secondaries(order, now_ms)

    def _activate_secondaries(self, primary: PaperOrder, now_ms: int) -> None:
        market = self._markets[primary.instrument_name]
        contract_size = market.listing.instrument.contract_size
        due = due_secondaries(primary, self._pending_of(primary), contract_size)
        is_pair = primary.is_primary_otoco and len(due) > 1
        pair_ref = self._next_pair_ref() if is_pair else None
        activated = []
        for item in due:
            pending = replace(
                item.pending, activated_amount=item.pending.activated_amount + item.amount
            )
            if pending.activated_amount < pending.amount:
                self._books.put(pending, is_silent=True)
            else:
                self._books.forget(pending.order_id)
            if self._switches.crossed_secondary_vanishes and is_crossed(pending, market):
                continue
            activated.append(
                replace(
                    pending,
                    order_id=self._order_id(pending),
                    amount=item.amount,
                    state=OrderState.OPEN,
                    is_pending=False,
                    activated_amount=ZERO,
                    primary_order_id=primary.order_id,
                    oco_ref=pair_ref,
                    creation_timestamp_ms=now_ms,
                    last_update_timestamp_ms=now_ms,
                )
            )
        # Stops first: a target that fills at once has to find the stop that it cancels.
        activated.sort(key=lambda order: order.order_type not in STOP_TYPES)
        for position, order in enumerate(activated):
            earlier = [self._books.orders[other.order_id] for other in activated[:position]]
            if pair_ref is None or all(other.is_live for other in earlier):
                self._enter_secondary(order, market, now_ms)

    def _enter_secondary(self, order: PaperOrder, market: Market, now_ms: int) -> None:
        if order.post_only and order.price is not None and not order.waits_for_trigger:
            price = slid_price(market, order.direction, order.price, reject=False)
            order = replace(order, price=price)
        self._enter(order, now_ms)

    def _reduce_others(self, order: PaperOrder, filled_now: Decimal, now_ms: int) -> None:
        market = self._markets[order.instrument_name]
        contract_size = market.listing.instrument.contract_size
        for other in self._others_of(order):
            left = remaining_of_other(order, filled_now, other, contract_size)
            if not left:
                self._close(other, "oco_other_closed", now_ms)
            elif left < other.remaining:
                amount = other.filled_amount + left
                self._books.put(replace(other, amount=amount, last_update_timestamp_ms=now_ms))

    def _cancel_others(self, order: PaperOrder, now_ms: int) -> None:
        for other in self._others_of(order):
            self._close(other, "oco_other_closed", now_ms)

    def _others_of(self, order: PaperOrder) -> list[PaperOrder]:
        if order.oco_ref is None:
            return []
        return [
            other
            for other in self._books.live_orders(order.instrument_name)
            if other.oco_ref == order.oco_ref and other.order_id != order.order_id
        ]

    def _close_secondaries(self, primary: PaperOrder, now_ms: int) -> None:
        for pending in self._pending_of(primary):
            self._close(pending, "oto_primary_closed", now_ms)

    def _pending_of(self, primary: PaperOrder) -> list[PaperOrder]:
        known = (self._books.orders.get(order_id) for order_id in primary.oto_order_ids)
        return [order for order in known if order is not None and order.is_live]

    def _close(self, order: PaperOrder, reason: str, now_ms: int) -> PaperOrder:
        closed = self._books.put(
            replace(
                order,
                state=OrderState.CANCELLED,
                cancel_reason=reason,
                last_update_timestamp_ms=now_ms,
            )
        )
        self._close_secondaries(closed, now_ms)
        return closed

    # -- records -------------------------------------------------------------------------------

    def _record(self, form: OrderForm, *, now_ms: int, connection_id: int | None) -> PaperOrder:
        return PaperOrder(
            order_id="",
            instrument_name=form.instrument_name,
            direction=form.direction,
            order_type=form.order_type,
            amount=form.amount,
            state=OrderState.OPEN,
            creation_timestamp_ms=now_ms,
            last_update_timestamp_ms=now_ms,
            label=form.label,
            price=form.price,
            time_in_force=form.time_in_force,
            post_only=form.post_only,
            reject_post_only=form.reject_post_only,
            reduce_only=form.reduce_only,
            trigger=form.trigger,
            trigger_price=form.trigger_price,
            connection_id=connection_id,
        )

    def _order_id(self, order: PaperOrder) -> str:
        """`USDC-74000000001`, or `USDC-SLMB-19001` for an order that waits for a trigger.

        The letters are stop or take, the reference, and the side that the order protects.
        Source: one recorded id of a sell stop on mark; the rest by analogy.
        """
        prefix = self._markets[order.instrument_name].listing.id_prefix
        if not order.waits_for_trigger:
            return f"{prefix}{self._books.next_number('order', prefix)}"
        assert order.trigger is not None
        kind = "SL" if order.order_type in STOP_TYPES else "TP"
        side = "B" if order.direction is Direction.SELL else "S"
        number = self._books.next_number("trigger")
        return f"{prefix}{kind}{order.trigger.value[0].upper()}{side}-{number}"

    def _next_pair_ref(self) -> str:
        return f"OCO-{self._books.next_number('oco')}"

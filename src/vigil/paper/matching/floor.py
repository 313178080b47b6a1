"""The trading floor: orders enter, match, rest, fire and close, and those linked to them follow.

What an order's fill or end means for others is decided by `linked`, what a trigger becomes by
`triggers`; here it happens, and the books hear of it.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal

from vigil.domain.money import ZERO
from vigil.domain.order import Direction, OrderType, TimeInForce
from vigil.paper.account.books import Books
from vigil.paper.account.margin import can_afford
from vigil.paper.account.orders import (
    PROTECTIVE_TYPES,
    OrderState,
    PaperOrder,
    TriggerEnd,
)
from vigil.paper.market.depth import Level
from vigil.paper.market.market import Market
from vigil.paper.matching.execution import Execution, execute
from vigil.paper.matching.gates import is_trading
from vigil.paper.matching.linked import activated, due_secondaries, remaining_of_other
from vigil.paper.matching.pricing import inside_price, is_outside_band, would_take
from vigil.paper.matching.records import next_order_id
from vigil.paper.matching.self_match import before_own, meet
from vigil.paper.matching.triggers import followed, is_crossed, spawned, started
from vigil.paper.switches import Switches

REJECT_TAKER = "reject_taker"


class Floor:
    """Everything that happens to orders once they are taken.

    Args:
        books: Changed by every step.
        markets: By instrument name; read only, but for the tape.
        locked_indexes: Where nothing trades for now.
    """

    def __init__(
        self,
        books: Books,
        markets: Mapping[str, Market],
        switches: Switches,
        locked_indexes: Collection[str],
    ) -> None:
        self._books = books
        self._markets = markets
        self._switches = switches
        self._locked_indexes = locked_indexes

    def enter(self, order: PaperOrder, now_ms: int) -> Execution:
        """Let an order wait, or match it against the book and then let it rest or end."""
        market = self._markets[order.instrument_name]
        if order.waits_for_trigger:
            order = self._books.put(replace(order, state=OrderState.UNTRIGGERED))
            if is_crossed(order, market) and is_trading(market, self._locked_indexes):
                self._fire(order, market, now_ms)
            return self._as_it_stands(order)
        if order.order_type is OrderType.MARKET_LIMIT:
            return self._enter_at_best(order, market, now_ms)
        if order.order_type is OrderType.MARKET:
            order = replace(order, price=market.bound(order.direction))
        assert order.price is not None
        return self._match(order, market.takeable(order.direction, order.price), now_ms)

    def follow(self, order: PaperOrder, market: Market, now_ms: int) -> None:
        """After a price move: fire a trigger that was reached, fill what came across."""
        if not order.waits_for_trigger:
            self._fill_resting(order, market, now_ms)
            return
        moved = followed(order, market)
        if moved is not order:
            self._books.put(moved, is_silent=True)
        if is_crossed(moved, market):
            self._fire(moved, market, now_ms)

    def fill(self, order: PaperOrder, price: Decimal, amount: Decimal, now_ms: int) -> Execution:
        """Let somebody trade with a resting order, whatever the book says."""
        result = execute(
            order, [(price, amount)], self._books, self._markets, now_ms=now_ms, is_maker=True
        )
        return self._rest_or_end(order, result, now_ms)

    def fire(self, order: PaperOrder, now_ms: int) -> None:
        """Fire a trigger, whatever its reference says."""
        self._fire(order, self._markets[order.instrument_name], now_ms)

    def close(self, order: PaperOrder, reason: str, now_ms: int) -> PaperOrder:
        """Cancel an order that is live or pending, and what waits for it."""
        closed = self._books.put(
            replace(
                order,
                state=OrderState.CANCELLED,
                cancel_reason=reason,
                last_update_timestamp_ms=now_ms,
            )
        )
        if order.waits_for_trigger and not order.is_pending:
            self._record_end(closed, "cancelled", now_ms)
        self._close_secondaries(closed, now_ms)
        return closed

    def cancel_others(self, order: PaperOrder, now_ms: int) -> None:
        """Cancel what is paired with an order."""
        for other in self._others_of(order):
            self.close(other, "oco_other_closed", now_ms)

    def overlaps_own(self, order: PaperOrder) -> bool:
        """Whether an order about to enter would meet one of the account's own."""
        if order.waits_for_trigger:
            return False
        market = self._markets[order.instrument_name]
        bound = order.price or market.bound(order.direction)
        if order.order_type is OrderType.MARKET_LIMIT:
            bound = market.best_opposite(order.direction)
        levels = market.takeable(order.direction, bound)
        return bool(meet(replace(order, price=bound), levels, self._resting_beside(order)).met)

    def next_pair_ref(self) -> str:
        """What the two orders of a pair have in common."""
        return f"OCO-{self._books.next_number('oco')}"

    def enter_secondary(self, order: PaperOrder, now_ms: int) -> None:
        """Enter an order that nobody waits for an answer about, as it may be by now."""
        market = self._markets[order.instrument_name]
        has_place = True
        if self._must_slide(order, market):
            inside = inside_price(market, order.direction)
            has_place, order = inside is not None, replace(order, price=inside or order.price)
        if not has_place or not can_afford(self._books, self._markets, order):
            self._books.put(replace(order, state=OrderState.REJECTED))
            return
        self.enter(started(order, market), now_ms)

    def enter_second(self, order: PaperOrder, first_id: str, now_ms: int) -> None:
        """Enter the second order of a pair: of it, what the first has left by now."""
        first = self._books.orders[first_id]
        if not first.is_live:
            return
        left, filled = order.amount, first.filled_amount
        if filled:
            step = self._markets[order.instrument_name].listing.instrument.amount_step
            left = remaining_of_other(first, filled, order, step)
        if left:
            self.enter_secondary(replace(order, amount=left), now_ms)

    # -- matching ------------------------------------------------------------------------------

    def _match(self, order: PaperOrder, levels: list[Level], now_ms: int) -> Execution:
        meeting = meet(order, levels, self._resting_beside(order))
        rejects_taker = self._switches.self_trading_reject_mode == REJECT_TAKER
        is_overlapped = rejects_taker and bool(meeting.met)
        if is_overlapped:
            levels = before_own(order, meeting)
        is_killed = order.time_in_force is TimeInForce.FILL_OR_KILL and (
            sum((amount for _, amount in levels), ZERO) < order.remaining
        )
        if not is_overlapped and not is_killed:
            for own in meeting.met:
                self.close(own, "order_overlap", now_ms)
        result = execute(
            order, [] if is_killed else levels, self._books, self._markets, now_ms=now_ms
        )
        if is_overlapped and result.order.state is OrderState.OPEN:
            ended = replace(result.order, state=OrderState.CANCELLED, cancel_reason="order_overlap")
            result = replace(result, order=ended)
        return self._rest_or_end(order, result, now_ms)

    def _enter_at_best(self, order: PaperOrder, market: Market, now_ms: int) -> Execution:
        """A market limit order takes the best price, and rests there with what is left.

        Where nobody is there, it ends as a market order does.
        Source: change log 2021-05-14.
        """
        bound = market.bound(order.direction)
        if not market.takeable(order.direction, bound):
            ended = replace(order, price=bound, state=OrderState.CANCELLED)
            return self._rest_or_end(order, Execution(order=ended), now_ms)
        best = market.best_opposite(order.direction)
        order = replace(
            order,
            price=best,
            order_type=OrderType.LIMIT,
            original_order_type=OrderType.MARKET_LIMIT,
        )
        return self._match(order, market.takeable(order.direction, best), now_ms)

    def _rest_or_end(self, before: PaperOrder, result: Execution, now_ms: int) -> Execution:
        order = replace(result.order, last_update_timestamp_ms=now_ms)
        if order.state is OrderState.OPEN and order.is_immediate:
            order = replace(order, state=OrderState.CANCELLED)
        self._books.put(order)
        self._follow_links(order, order.filled_amount - before.filled_amount, now_ms)
        return Execution(order=self._as_it_stands(order).order, trades=result.trades)

    def _fill_resting(self, order: PaperOrder, market: Market, now_ms: int) -> None:
        """Fill a resting limit order at its own price, with what came across.

        It is the maker, except for the hidden part of an iceberg.
        Source: Deribit, order management: hidden parts trade as takers.
        """
        assert order.price is not None
        crossing = market.takeable(order.direction, order.price)
        if not crossing:
            return
        across = sum((amount for _, amount in crossing), ZERO)
        shown = across if order.display_amount is None else min(across, order.display_amount)
        result = execute(
            order, [(order.price, shown)], self._books, self._markets, now_ms=now_ms, is_maker=True
        )
        if across > shown and result.order.is_live:
            hidden = execute(
                result.order,
                [(order.price, across - shown)],
                self._books,
                self._markets,
                now_ms=now_ms,
            )
            result = Execution(order=hidden.order, trades=result.trades + hidden.trades)
        self._rest_or_end(order, result, now_ms)

    def _resting_beside(self, order: PaperOrder) -> list[PaperOrder]:
        return [
            other
            for other in self._books.live_orders(order.instrument_name)
            if other.order_id != order.order_id
        ]

    # -- triggers ------------------------------------------------------------------------------

    def _fire(self, order: PaperOrder, market: Market, now_ms: int) -> None:
        """A trigger is reached: the waiting order ends, and a new one with its label enters.

        One that could not be placed now is rejected, and no new order exists. The secondaries of a
        trigger order wait for the fills of the order that it spawned.
        """
        new = spawned(order, market, now_ms)
        reason = self._obstacle(new, market)
        state = OrderState.TRIGGERED if reason is None else OrderState.REJECTED
        ended = self._books.put(replace(order, state=state, last_update_timestamp_ms=now_ms))
        if reason is not None:
            self._record_end(ended, f"rejected:{reason}", now_ms)
            self.cancel_others(ended, now_ms)
            self._close_secondaries(ended, now_ms)
            return
        listing = market.listing
        new = replace(new, order_id=next_order_id(new, listing, self._books))
        if self._must_slide(new, market):
            new = replace(new, price=inside_price(market, new.direction))
        self._record_end(ended, "triggered", now_ms, new)
        if new.oco_ref is None:
            self.cancel_others(ended, now_ms)
        self.enter(new, now_ms)

    def _obstacle(self, order: PaperOrder, market: Market) -> str | None:
        """Why an order that just fired cannot be placed."""
        position = self._books.position(order.instrument_name)
        if order.reduce_only and not position.reducible_by(order.direction):
            return "reduce_direction"
        if not can_afford(self._books, self._markets, order):
            return "not_enough_funds"
        assert order.price is not None
        is_limit = order.order_type is OrderType.LIMIT
        is_banded = is_limit and self._switches.fired_outside_band_is_rejected
        if is_banded and is_outside_band(market, order.direction, order.price):
            return "price_too_high" if order.direction is Direction.BUY else "price_too_low"
        if self._must_slide(order, market):
            has_place = inside_price(market, order.direction) is not None
            if order.reject_post_only or not has_place:
                return "post_only_reject"
        return None

    def _must_slide(self, order: PaperOrder, market: Market) -> bool:
        if not order.post_only or order.waits_for_trigger or order.price is None:
            return False
        return would_take(market, order.direction, order.price)

    def _record_end(
        self, order: PaperOrder, outcome: str, now_ms: int, new: PaperOrder | None = None
    ) -> None:
        self._books.add_trigger_end(
            TriggerEnd(
                number=self._books.next_number("trigger_end"),
                timestamp_ms=now_ms,
                order=order,
                outcome=outcome,
                spawned_order_id=None if new is None else new.order_id,
                spawned_price=None if new is None else new.price,
            )
        )

    # -- linked orders -------------------------------------------------------------------------

    def _follow_links(self, order: PaperOrder, filled_now: Decimal, now_ms: int) -> None:
        """What a fill or the end of an order means for the orders linked to it."""
        if filled_now:
            self._reduce_others(order, filled_now, now_ms)
            self._activate_secondaries(order, now_ms)
        if not order.is_live:
            self._close_secondaries(order, now_ms)

    def _activate_secondaries(self, primary: PaperOrder, now_ms: int) -> None:
        market = self._markets[primary.instrument_name]
        step = market.listing.instrument.amount_step
        due = due_secondaries(primary, self._pending_of(primary), step)
        is_pair = primary.is_primary_otoco and len(due) > 1
        pair_ref = self.next_pair_ref() if is_pair else None
        placed = []
        for item in due:
            pending = replace(
                item.pending, activated_amount=item.pending.activated_amount + item.amount
            )
            if pending.activated_amount < pending.amount:
                self._books.put(pending, is_silent=True)
            else:
                self._books.forget(pending.order_id)
            order = activated(item, primary, pair_ref, now_ms)
            if self._switches.crossed_secondary_vanishes and self._is_unplaceable(order, market):
                continue
            order_id = next_order_id(order, market.listing, self._books)
            placed.append(replace(order, order_id=order_id))
        # Stops first: a target that fills at once has to find the stop that it cancels.
        placed.sort(key=lambda order: order.order_type not in PROTECTIVE_TYPES)
        for position, order in enumerate(placed):
            if pair_ref is None or not position:
                self.enter_secondary(order, now_ms)
            else:
                self.enter_second(order, placed[0].order_id, now_ms)

    def _is_unplaceable(self, order: PaperOrder, market: Market) -> bool:
        """Whether the market has passed a secondary by the time it is to be placed."""
        is_refused = order.reject_post_only and self._must_slide(order, market)
        return is_refused or is_crossed(order, market)

    def _reduce_others(self, order: PaperOrder, filled_now: Decimal, now_ms: int) -> None:
        step = self._markets[order.instrument_name].listing.instrument.amount_step
        for other in self._others_of(order):
            left = remaining_of_other(order, filled_now, other, step)
            if not left:
                self.close(other, "oco_other_closed", now_ms)
            elif left < other.remaining:
                amount = other.filled_amount + left
                self._books.put(replace(other, amount=amount, last_update_timestamp_ms=now_ms))

    def _others_of(self, order: PaperOrder) -> list[PaperOrder]:
        if order.oco_ref is None:
            return []
        return [other for other in self._resting_beside(order) if other.oco_ref == order.oco_ref]

    def _close_secondaries(self, primary: PaperOrder, now_ms: int) -> None:
        for pending in self._pending_of(primary):
            self.close(pending, "oto_primary_closed", now_ms)

    def _pending_of(self, primary: PaperOrder) -> list[PaperOrder]:
        known = (self._books.orders.get(order_id) for order_id in primary.oto_order_ids)
        return [order for order in known if order is not None and order.is_live]

    def _as_it_stands(self, order: PaperOrder) -> Execution:
        return Execution(order=self._books.orders[order.order_id])

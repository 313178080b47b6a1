"""Vigil's ledger held against what the exchange knows, past every fault of telling it.

Made before the first order, it looks into the ledger's file whenever a label arrives: the row must
be there already, and no other attempt at the same intent may be alive. `holds` heals the world,
lets it come to rest, and compares everything.
"""

import asyncio
from collections import Counter, defaultdict
from decimal import Decimal

from rig import Rig
from vigil.domain.labels import Label, parse_label
from vigil.domain.money import ZERO
from vigil.domain.order import OrderStatus, OwnOrder, Role
from vigil.paper.account.orders import OrderState
from vigil.paper.faults.truth import truth

_LIVE = (OrderState.OPEN, OrderState.UNTRIGGERED)
_NEVER_WAS = (OrderStatus.FAILED, OrderStatus.REJECTED)
# In which a healed world has to come to rest.
REST_S_MAX = 20.0


class Agreement:
    """Watches a rig from its making on."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.arrived: list[tuple[str, int]] = []
        self.unwritten: list[str] = []
        self.rivals: list[tuple[str, str]] = []
        arrivals = rig.server.faults.arrivals
        note = arrivals.note

        def look_first(request, connection, now_ms):
            before = len(arrivals.seen)
            note(request, connection, now_ms)
            for arrival in list(arrivals.seen)[before:]:
                self._judge(arrival.label, arrival.arrived_ms)

        arrivals.note = look_first  # type: ignore[method-assign]

    def _judge(self, label: str, arrived_ms: int) -> None:
        ours = parse_label(label)
        if ours is None:
            return
        if not self.rig.sql("SELECT 1 FROM orders WHERE label = ?", label):
            self.unwritten.append(label)
        for order in self.rig.venue.exchange.books.live_orders():
            other = parse_label(order.label)
            if other is not None and order.label != label and _intent(other) == _intent(ours):
                self.rivals.append((order.label, label))
        self.arrived.append((label, arrived_ms))

    # --- what arrived

    def entries(self) -> list[str]:
        """Labels of entries that reached the exchange, lost ones included, in order."""
        roles = dict(self.rig.sql("SELECT label, role FROM orders"))
        return [label for label, _ in self.arrived if roles[label] == Role.ENTRY]

    def arrived_ms(self, label: str) -> int:
        """Exchange time at which a label came for the first time."""
        return next(at_ms for known, at_ms in self.arrived if known == label)

    # --- the end of a test

    async def rest(self) -> None:
        """End every armed fault, and make passes until one finds nothing."""
        rig = self.rig
        rig.server.faults.clear()
        until_s = rig.clock.elapsed_s() + REST_S_MAX
        while rig.clock.elapsed_s() < until_s:
            await rig.until(lambda: rig.client.is_live)
            run = await rig.reconcile()
            if run.outcome == "ok" and not run.is_unsettled and not run.drifts:
                return
            await asyncio.sleep(0.03)
        raise AssertionError(f"it does not come to rest: {rig.runs[-3:]}")

    async def holds(
        self,
        *,
        doubled: frozenset[str] = frozenset(),
        suspected: frozenset[str] = frozenset(),
        foreign: dict[str, Decimal] | None = None,
    ) -> None:
        """Heal, rest and compare.

        Args:
            doubled: Labels that the test had the exchange carry out twice.
            suspected: Labels that were not, and of which the test had the exchange say so.
            foreign: Net positions that others made, by instrument.
        """
        await self.rest()
        await self.compare(doubled=doubled, foreign=foreign or {})
        told = await self.rig.ledger.open_incidents()
        alarms = {one.subject for one in told if one.kind == "duplicate_label"}
        assert alarms <= doubled | suspected

    async def compare(self, *, doubled: frozenset[str], foreign: dict[str, Decimal]) -> None:
        rows = await self._rows()
        self._check_written_first(rows)
        self._check_one_order_each(rows, doubled)
        self._check_fills(rows)
        await self._check_positions(foreign)
        await self._check_resting(rows)
        await self._check_stops(rows)
        await self._check_closures()

    async def _rows(self) -> dict[str, OwnOrder]:
        labels = [label for (label,) in self.rig.sql("SELECT label FROM orders ORDER BY seq")]
        found = {label: await self.rig.ledger.order(label) for label in labels}
        return {label: row for label, row in found.items() if row is not None}

    def _truth(self):
        server = self.rig.server
        return truth(server.venue, server.faults.arrivals, server.clock.now_ms())

    def _check_written_first(self, rows: dict[str, OwnOrder]) -> None:
        """I1: what the exchange saw was on disk before."""
        assert self.unwritten == []
        seen = [one["label"] for one in self._truth()["labels"] if parse_label(one["label"])]
        assert seen == [label for label, _ in self.arrived], "the watch missed something"
        assert set(seen) <= rows.keys()

    def _check_one_order_each(self, rows: dict[str, OwnOrder], doubled: frozenset[str]) -> None:
        """I2: one order for a label, and never two attempts of one intent at work."""
        assert self.rivals == []
        arrivals = Counter(label for label, _ in self.arrived)
        assert max(arrivals.values(), default=1) == 1, "a label is used once"
        spans = defaultdict(list)
        orders = Counter()
        for order in self._truth()["orders"]:
            label = parse_label(order["label"])
            if label is None or "trigger_order_id" in order:
                continue
            orders[order["label"]] += 1
            is_over = order["order_state"] not in _LIVE
            until_ms = order["last_update_timestamp"] if is_over else 2**62
            spans[_intent(label)].append((order["creation_timestamp"], until_ms, order["label"]))
        assert {label for label, count in orders.items() if count > 1} <= doubled
        for attempts in spans.values():
            distinct = sorted(one for one in attempts if one[2] not in doubled)
            for (_, until_ms, one), (begin_ms, _, other) in zip(
                distinct, distinct[1:], strict=False
            ):
                assert until_ms <= begin_ms, (one, other)
        filled_entries = Counter(
            row.intent_id
            for label, row in rows.items()
            if row.role is Role.ENTRY and row.filled_amount
        )
        assert max(filled_entries.values(), default=1) == 1

    def _check_fills(self, rows: dict[str, OwnOrder]) -> None:
        """I3 and I4: the same executions, each once, and orders filled by as much."""
        known = self.rig.sql(
            "SELECT trade_id, order_id, instrument, direction, amount, price, fee FROM fills"
        )
        assert len({one[0] for one in known}) == len(known)
        told = self._truth()["trades"]
        mine = {one[0]: (*one[1:4], *(Decimal(text) for text in one[4:])) for one in known}
        theirs = {
            one["trade_id"]: (
                one["order_id"],
                one["instrument_name"],
                one["direction"],
                one["amount"],
                one["price"],
                one["fee"],
            )
            for one in told
        }
        assert mine == theirs
        by_label: dict[str, Decimal] = defaultdict(Decimal)
        for one in told:
            if one["label"] in rows:
                by_label[one["label"]] += one["amount"]
        assert {label: row.filled_amount for label, row in rows.items() if row.filled_amount} == (
            dict(by_label)
        )
        at_exchange = {one["label"] for one in self._truth()["orders"]}
        never_were = {label for label, row in rows.items() if row.status in _NEVER_WAS}
        assert never_were & at_exchange & by_label.keys() == set()

    async def _check_positions(self, foreign: dict[str, Decimal]) -> None:
        """I3: what we hold is what is held."""
        held: dict[str, Decimal] = defaultdict(Decimal)
        for trade in (await self.rig.ledger.open_trades()).trades:
            held[trade.instrument_name] += trade.signed_open_amount
        for name, size in foreign.items():
            held[name] += size
        assert {name: size for name, size in held.items() if size} == self._truth()["positions"]

    async def _check_resting(self, rows: dict[str, OwnOrder]) -> None:
        """I3: what rests is what should."""
        working = {
            row.label: (row.order_id, row.amount, row.price, row.trigger_price)
            for row in rows.values()
            if not row.status.is_final
        }
        ours = {
            order.label: (order.order_id, order.amount, order.price, order.trigger_price)
            for order in self.rig.resting()
            if parse_label(order.label)
        }
        assert working == ours

    async def _check_stops(self, rows: dict[str, OwnOrder]) -> None:
        """I6: every position has its stop, which only reduces."""
        for trade in (await self.rig.ledger.open_trades()).trades:
            stops = [
                order
                for order in self.rig.resting(trade.instrument_name)
                if order.label in rows
                and rows[order.label].role is Role.STOP
                and rows[order.label].trade_id == trade.trade_id
            ]
            found = [(one.amount, one.trigger_price, one.reduce_only) for one in stops]
            assert found == [(trade.open_amount, trade.stop_loss, True)]

    async def _check_closures(self) -> None:
        """I11: whatever is closed was closed by executions that the exchange knows."""
        told = {one["trade_id"] for one in self._truth()["trades"]}
        for trade_id, source in self.rig.sql(
            "SELECT id, pnl_source FROM trades WHERE status = 'closed'"
        ):
            assert source == "fills", f"{trade_id} was closed without a fill"
            shares = (await self.rig.ledger.shares_of([trade_id]))[trade_id]
            sums = {
                is_entry: sum((one.amount for one in shares if one.is_entry is is_entry), ZERO)
                for is_entry in (True, False)
            }
            assert sums[True] == sums[False] > 0
            assert {one.fill.trade_id for one in shares} <= told


def _intent(label: Label) -> tuple[str, int]:
    return (label.strategy_id, label.intent_id)

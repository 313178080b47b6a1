"""Orders, resting and ended, and the complete search for one label.

An answer without orders may be the truth, or an error told as an empty list: one source cannot tell
them apart. An order is proven absent only by searches that could have found it, repeated.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from vigil.deribit import wire, wire_account
from vigil.deribit.reading_fills import ORDER_NOT_FOUND, FillReader, in_order, is_of_currency
from vigil.domain.account_log import TriggerRecord
from vigil.domain.order import LabelFindings, Order
from vigil.errors import Rejected

_PAGE_COUNT = 1_000

# Own trades are asked for up to now; the exchange's clock may be ahead of what we believe.
_CLOCK_SLACK_MS = 60_000


class OrderReader(FillReader):
    """Questions about orders."""

    async def open_orders(self) -> tuple[Order, ...]:
        """All resting orders of the account, in all currencies, whoever placed them."""
        return self._once(wire.to_orders(await self._ask("private/get_open_orders", {})))

    async def order_state(self, order_id: str) -> Order | None:
        """One order; None when the exchange does not, or no longer, know it."""
        try:
            order = wire.to_order(
                await self._ask("private/get_order_state", {"order_id": order_id})
            )
        except Rejected as error:
            if error.code == ORDER_NOT_FOUND:
                return None
            raise
        if order.order_id != order_id:
            raise wire.Unreadable(f"asked for order {order_id}, told of {order.order_id}")
        self.novelties.note((order,))
        return order

    async def orders_by_label(self, currency: str, label: str) -> tuple[Order, ...]:
        """Orders with this label that the recent store knows, resting or ended, oldest first.

        `currency` is the settlement currency: `USDC` for linear instruments. Resting orders are
        asked for first, so that one that ends in the meantime is seen at least once.
        """
        params = {"currency": currency, "label": label}
        found: dict[str, Order] = {}
        for method in ("private/get_open_orders_by_label", "private/get_order_state_by_label"):
            _merge(found, _labelled(await self._ask_unless_unknown(method, params), label))
        self.novelties.note(found.values())
        return _oldest_first(found)

    async def order_history(
        self, currency: str, *, since_ms: int, is_historical: bool
    ) -> tuple[Order, ...]:
        """Ended orders of a settlement currency, filled or not, newest first.

        At least all that were created at or after `since_ms` and that the store still holds or
        already has.
        """
        question: dict[str, Any] = {"currency": currency, "kind": "any"}
        orders = await self._history("currency", question, since_ms, is_historical=is_historical)
        _require_currency(orders, currency)
        return orders

    async def trigger_order_history(
        self, currency: str, *, since_ms: int, instrument_name: str | None = None
    ) -> tuple[TriggerRecord, ...]:
        """What became of trigger orders at or after `since_ms`, newest first.

        Also of those that fired and whose order was refused: no other record tells of them.
        """
        question: dict[str, Any] = {"currency": currency, "count": _PAGE_COUNT}
        if instrument_name is not None:
            question["instrument_name"] = instrument_name
        records = await self._all_pages(
            "private/get_trigger_order_history",
            question,
            wire_account.to_trigger_page,
            key=lambda record: record,
            is_enough=lambda page: all(record.timestamp_ms < since_ms for record in page),
        )
        if any(not is_of_currency(record.instrument_name, currency) for record in records):
            raise wire.Unreadable(f"asked for trigger orders in {currency}, told of others")
        return tuple(record for record in records if record.timestamp_ms >= since_ms)

    async def search_label(self, currency: str, label: str, *, since_ms: int) -> LabelFindings:
        """Everything the exchange still knows about a label, wherever it keeps it.

        Every store is asked, in the direction in which records move: resting, recent, archive. One
        that cannot be asked makes the whole search fail. `since_ms` is exchange time before which
        no order with this label can have been created; `currency` is the settlement currency.
        """
        found: dict[str, Order] = {}
        _merge(found, await self.orders_by_label(currency, label))
        for is_historical in (False, True):
            ended = await self.order_history(
                currency, since_ms=since_ms, is_historical=is_historical
            )
            _merge(found, (order for order in ended if order.label == label))
        end_ms = self.exchange_now_ms() + _CLOCK_SLACK_MS
        fills = await self._fills_of_currency(currency, since_ms, end_ms, is_historical=False)
        fills |= await self._fills_of_currency(currency, since_ms, end_ms, is_historical=True)
        return LabelFindings(
            orders=_oldest_first(found),
            fills=in_order(
                {
                    trade_id: fill
                    for trade_id, fill in fills.items()
                    if fill.label == label or fill.order_id in found
                }
            ),
        )

    async def _history(
        self, scope: str, question: Mapping[str, Any], since_ms: int, *, is_historical: bool
    ) -> tuple[Order, ...]:
        # Pages are sorted by creation or by last change, nobody says which: once a whole page was
        # last changed before `since_ms`, no later one can hold what was created after it.
        orders = await self._all_pages(
            f"private/get_order_history_by_{scope}",
            {
                **question,
                "count": _PAGE_COUNT,
                "include_old": True,
                "include_unfilled": True,
                "with_continuation": True,
                "historical": is_historical,
            },
            lambda raw: wire.to_order_page(raw, rows_max=_PAGE_COUNT),
            key=lambda order: order.order_id,
            is_enough=lambda page: all(order.last_update_timestamp_ms < since_ms for order in page),
        )
        self.novelties.note(orders)
        return orders

    def _once(self, orders: tuple[Order, ...]) -> tuple[Order, ...]:
        if len({order.order_id for order in orders}) != len(orders):
            raise wire.Unreadable("an order is listed twice")
        self.novelties.note(orders)
        return orders

    async def _ask_unless_unknown(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        """As `_ask`, where an unknown label may be an error or an empty answer."""
        try:
            return await self._ask(method, params)
        except Rejected as error:
            if error.code == ORDER_NOT_FOUND:
                return msgspec.Raw(b"[]")
            raise


def _labelled(raw: msgspec.Raw, label: str) -> tuple[Order, ...]:
    orders = wire.to_orders(raw)
    if any(order.label != label for order in orders):
        raise wire.Unreadable(f"asked for orders labelled {label}, told of others")
    return orders


def _require_currency(orders: Iterable[Order], currency: str) -> None:
    if any(not is_of_currency(order.instrument_name, currency) for order in orders):
        raise wire.Unreadable(f"asked for orders in {currency}, told of others")


def _merge(found: dict[str, Order], orders: Iterable[Order]) -> None:
    """Take in what other stores say; of one order the newest news stands."""
    for order in orders:
        known = found.get(order.order_id)
        if known is None or order.last_update_timestamp_ms >= known.last_update_timestamp_ms:
            found[order.order_id] = order


def _oldest_first(found: Mapping[str, Order]) -> tuple[Order, ...]:
    return tuple(
        sorted(found.values(), key=lambda order: (order.creation_timestamp_ms, order.order_id))
    )

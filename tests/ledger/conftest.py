"""Ledgers on real files, and the orders and fills of one small world to fill them with."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from vigil.domain.order import Direction, Fill, Order, OrderStatus, OrderType, OwnOrder, Role
from vigil.ledger.ledger import Ledger
from vigil.ledger.migrations import Header, load_migrations, prepare

INSTRUMENT = "BTC_USDC-PERPETUAL"


class SteppingClock:
    """Wall time that moves by one millisecond each time it is read."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms

    def elapsed_s(self) -> float:
        return self.ms / 1000

    async def sleep(self, delay_s: float) -> None:
        raise AssertionError("the ledger does not wait")


class Maker:
    """Builds the orders, exchange orders and fills of trade `T1`, long 0.03 from 95 000."""

    instrument = INSTRUMENT

    def entry(self, intent_id: int = 1, **changes: Any) -> OwnOrder:
        order = OwnOrder(
            label=f"vg-razor-1-{intent_id}-1",
            intent_id=intent_id,
            attempt=1,
            strategy_id="razor-1",
            strategy_name="Razor",
            role=Role.ENTRY,
            trade_id="T1",
            instrument_name=INSTRUMENT,
            direction=Direction.BUY,
            order_type=OrderType.MARKET,
            amount=Decimal("0.03"),
            created_ms=1_000,
            valid_until_ms=4_000,
        )
        return replace(order, **changes)

    def stop(self, intent_id: int = 2, **changes: Any) -> OwnOrder:
        return self.entry(
            intent_id,
            **{
                "role": Role.STOP,
                "direction": Direction.SELL,
                "order_type": OrderType.STOP_MARKET,
                "trigger_price": Decimal(94_500),
                "reduce_only": True,
                "parent_label": "vg-razor-1-1-1",
            }
            | changes,
        )

    def target(self, intent_id: int = 3, **changes: Any) -> OwnOrder:
        return self.entry(
            intent_id,
            **{
                "role": Role.TARGET,
                "direction": Direction.SELL,
                "order_type": OrderType.LIMIT,
                "price": Decimal(95_900),
                "reduce_only": True,
                "parent_label": "vg-razor-1-1-1",
            }
            | changes,
        )

    def close(self, intent_id: int = 4, **changes: Any) -> OwnOrder:
        changes = {"role": Role.CLOSE, "direction": Direction.SELL, "reduce_only": True} | changes
        return self.entry(intent_id, **changes)

    def bracket(self) -> tuple[OwnOrder, OwnOrder, OwnOrder]:
        return self.entry(), self.stop(), self.target()

    def order(self, own: OwnOrder, order_id: str, status: OrderStatus, **changes: Any) -> Order:
        """`own` as the exchange shows it."""
        order = Order(
            order_id=order_id,
            label=own.label,
            instrument_name=own.instrument_name,
            direction=own.direction,
            order_type=own.order_type,
            status=status,
            amount=own.amount,
            filled_amount=Decimal(0),
            creation_timestamp_ms=1_000,
            last_update_timestamp_ms=1_000,
            price=own.price,
            trigger_price=own.trigger_price,
        )
        return replace(order, **changes)

    def fill(self, number: int, own: OwnOrder | None = None, **changes: Any) -> Fill:
        """Execution `number` of `own`, or of somebody else's sell order."""
        fill = Fill(
            trade_id=f"USDC-{number}",
            order_id=f"USDC-9{number}" if own is None else f"ID-{own.label}",
            label="" if own is None else own.label,
            instrument_name=INSTRUMENT,
            direction=Direction.SELL if own is None else own.direction,
            amount=Decimal("0.01"),
            price=Decimal(95_000),
            fee=Decimal("0.475"),
            fee_currency="USDC",
            timestamp_ms=10_000 + number,
            trade_seq=number,
        )
        return replace(fill, **changes)


@pytest.fixture(scope="session")
def make() -> Maker:
    return Maker()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trades.db"


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


OpenLedger = Callable[..., Awaitable[Ledger]]


@pytest_asyncio.fixture
async def open_ledger(path: Path, clock: SteppingClock) -> AsyncIterator[OpenLedger]:
    """Opens ledgers of paper account `acc`; closes them afterwards."""
    opened: list[Ledger] = []

    async def opener(**changes: Any) -> Ledger:
        options = {"environment": "paper", "account": "acc", "clock": clock} | changes
        ledger = await Ledger.open(path, **options)
        opened.append(ledger)
        return ledger

    yield opener
    for ledger in opened:
        await ledger.close()


@pytest_asyncio.fixture
async def ledger(open_ledger: OpenLedger) -> Ledger:
    return await open_ledger()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A bare connection with the whole schema, for properties that undo what each example did."""
    path = tmp_path_factory.mktemp("world") / "trades.db"
    connection = sqlite3.connect(path, isolation_level=None)
    header = Header(environment="paper", account="acc", created_ms=1)
    prepare(connection, path, header, load_migrations())
    yield connection
    connection.close()

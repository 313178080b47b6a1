from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from vigil.deribit import answers
from vigil.deribit.credits import Lane
from vigil.deribit.jsonrpc import ErrorReply, Reply
from vigil.deribit.mass_actions import MassActions
from vigil.deribit.outcome import (
    NOT_SENT,
    CancelledMany,
    Confirmed,
    Outcome,
    Refused,
    Unknown,
    Verdict,
)
from vigil.deribit.wire import Unreadable
from vigil.errors import OutcomeUnknown, Rejected, Transient

Make = Callable[..., dict[str, Any]]


class Desk(MassActions):
    """Actions on an exchange that answers one thing."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sent: list[tuple[str, Mapping[str, Any], Lane]] = []

    def exchange_now_ms(self) -> int:
        return 0

    async def _exchange(
        self, method: str, params: Mapping[str, Any], lane: Lane, *, is_again: bool = False
    ) -> Reply | ErrorReply:
        self.sent.append((method, params, lane))
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, ErrorReply):
            return self.answer
        return Reply(request_id=1, result=msgspec.Raw(msgspec.json.encode(self.answer)))

    async def _act(self, method: str, params: Mapping[str, Any], lane: Lane) -> Outcome:
        return answers.outcome(method, params, await self._exchange(method, params, lane))

    async def _ask(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        reply = await self._exchange(method, params, Lane.QUERY)
        assert isinstance(reply, Reply)
        return reply.result


# --- many at once


@pytest.mark.parametrize(
    ("act", "method", "params"),
    [
        (lambda desk: desk.cancel_all(), "private/cancel_all", {"detailed": True}),
        (
            lambda desk: desk.cancel_all_in_currency("USDC"),
            "private/cancel_all_by_currency",
            {"currency": "USDC", "kind": "any", "type": "all", "detailed": True},
        ),
        (
            lambda desk: desk.cancel_all_in_instrument("BTC-PERPETUAL"),
            "private/cancel_all_by_instrument",
            {"instrument_name": "BTC-PERPETUAL", "type": "all", "detailed": True},
        ),
        (
            lambda desk: desk.cancel_by_label("vg-a-1-1"),
            "private/cancel_by_label",
            {"label": "vg-a-1-1"},
        ),
        (
            lambda desk: desk.cancel_by_label("vg-a-1-1", currency="BTC"),
            "private/cancel_by_label",
            {"label": "vg-a-1-1", "currency": "BTC"},
        ),
    ],
)
async def test_mass_cancellations_go_out_before_everything_else(
    act: Any, method: str, params: Mapping[str, Any]
) -> None:
    desk = Desk(3)
    assert await act(desk) == CancelledMany(count=3)
    assert desk.sent == [(method, params, Lane.REDUCE)]


async def test_a_detailed_answer_names_the_orders(order_json: Make) -> None:
    part = {"instrument_name": "X", "type": "limit", "result": [order_json()]}
    outcome = await Desk([part]).cancel_all()
    assert isinstance(outcome, CancelledMany)
    assert outcome.is_whole
    assert [order.order_id for order in outcome.orders] == ["USDC-1"]
    assert outcome.count == 1


async def test_a_part_that_failed_is_told(order_json: Make) -> None:
    failed = {"currency": "ETH", "type": "trigger", "error": {"code": 10041, "message": "x"}}
    outcome = await Desk(
        [{"instrument_name": "X", "type": "limit", "result": [order_json()]}, failed]
    ).cancel_all()
    assert isinstance(outcome, CancelledMany)
    assert not outcome.is_whole
    assert "10041" in outcome.failures[0]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Transient("no session"), Refused, id="not sent"),
        pytest.param(Rejected("too large"), Refused, id="never sent"),
        pytest.param(OutcomeUnknown("timed out"), Unknown, id="no answer"),
        pytest.param("all of them", Unknown, id="nonsense"),
        pytest.param([{"result": [{}]}], Unknown, id="an order that cannot be read"),
        pytest.param(-1, Unknown, id="less than none"),
        pytest.param(
            ErrorReply(request_id=1, code=13021, message="forbidden"), Refused, id="refused"
        ),
        pytest.param(
            ErrorReply(request_id=1, code=11094, message="internal_server_error"),
            Unknown,
            id="perhaps done",
        ),
    ],
)
async def test_what_did_not_surely_happen_is_never_told_as_done(
    answer: Any, expected: type
) -> None:
    outcome = await Desk(answer).cancel_all()
    assert isinstance(outcome, expected)
    if isinstance(answer, Transient):
        assert outcome == Refused(
            code=NOT_SENT, message="not sent: no session", verdict=Verdict.RETRY_LATER
        )


# --- one order, by what it is called


async def test_an_edit_by_label_says_label_and_instrument(order_json: Make) -> None:
    desk = Desk({"order": order_json(), "trades": []})
    outcome = await desk.edit_by_label(
        "BTC_USDC-PERPETUAL", "vg-a-1-1", amount=Decimal("0.02"), price=Decimal("95000.5")
    )
    assert isinstance(outcome, Confirmed)
    assert desk.sent == [
        (
            "private/edit_by_label",
            {
                "instrument_name": "BTC_USDC-PERPETUAL",
                "label": "vg-a-1-1",
                "amount": Decimal("0.02"),
                "price": Decimal("95000.5"),
            },
            Lane.PROTECT,
        )
    ]


@pytest.mark.parametrize("other", [{"label": "vg-a-1-2"}, {"instrument_name": "BTC-PERPETUAL"}])
async def test_an_answer_about_another_order_proves_nothing(
    order_json: Make, other: dict[str, str]
) -> None:
    desk = Desk({"order": order_json(**other), "trades": []})
    outcome = await desk.edit_by_label("BTC_USDC-PERPETUAL", "vg-a-1-1", amount=Decimal(1))
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("price", "params"),
    [
        (None, {"instrument_name": "BTC_USDC-PERPETUAL", "type": "market"}),
        (
            Decimal("95000.5"),
            {"instrument_name": "BTC_USDC-PERPETUAL", "type": "limit", "price": Decimal("95000.5")},
        ),
    ],
)
async def test_a_position_is_closed_at_market_or_at_a_limit(
    order_json: Make, fill_json: Make, price: Decimal | None, params: Mapping[str, Any]
) -> None:
    desk = Desk({"order": order_json(order_state="filled"), "trades": [fill_json()]})
    outcome = await desk.close_position("BTC_USDC-PERPETUAL", price=price)
    assert isinstance(outcome, Confirmed)
    assert len(outcome.fills) == 1
    assert desk.sent == [("private/close_position", params, Lane.REDUCE)]


# --- the session


async def test_cancelling_on_disconnect_is_set_or_said_not_to_be() -> None:
    desk = Desk("ok")
    await desk.set_cancel_on_disconnect(is_enabled=True, scope="account")
    await desk.set_cancel_on_disconnect(is_enabled=False)
    assert [(method, params["scope"]) for method, params, _ in desk.sent] == [
        ("private/enable_cancel_on_disconnect", "account"),
        ("private/disable_cancel_on_disconnect", "connection"),
    ]
    with pytest.raises(Unreadable):
        await Desk("perhaps").set_cancel_on_disconnect(is_enabled=True)


@pytest.mark.parametrize("end", [OutcomeUnknown("socket closed"), Transient("not connected")])
async def test_logging_out_needs_no_answer(end: Exception) -> None:
    desk = Desk(end)
    await desk.log_out()
    assert desk.sent[0][:2] == ("private/logout", {"invalidate_token": True})

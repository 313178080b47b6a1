from collections.abc import Callable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from vigil.deribit.wire import Unreadable
from vigil.domain.order import OrderStatus
from vigil.errors import OutcomeUnknown, Rejected, Transient, VigilError

Make = Callable[..., dict[str, Any]]

LABEL = "vg-a-1-1"
NOW_MS = 1_800_000_000_000
SINCE_MS = NOW_MS - 3_600_000

STORES = (
    "private/get_open_orders_by_label",
    "private/get_order_state_by_label",
    "private/get_order_history_by_currency",
    "private/get_user_trades_by_currency_and_time",
)


def by_store(recent: Any, old: Any) -> Callable[[Mapping[str, Any]], Any]:
    return lambda params: old if params["historical"] else recent


@pytest.fixture
def nothing(scripted: Any) -> Any:
    """An exchange that knows nothing of any label."""
    return scripted(
        get_open_orders_by_label=[],
        get_order_state_by_label=[],
        get_order_history_by_currency={"orders": [], "continuation": None},
        get_user_trades_by_currency_and_time={"trades": [], "has_more": False},
    )


# --- one order


async def test_an_order_the_exchange_does_not_know_is_none(scripted: Any) -> None:
    reader = scripted(get_order_state=Rejected("not found", code=10004))
    assert await reader.order_state("USDC-1") is None


async def test_any_other_refusal_is_not_taken_for_absence(scripted: Any) -> None:
    reader = scripted(get_order_state=Rejected("forbidden", code=13021))
    with pytest.raises(Rejected):
        await reader.order_state("USDC-1")


async def test_an_answer_about_another_order_is_no_answer(scripted: Any, order_json: Make) -> None:
    reader = scripted(get_order_state=order_json(order_id="USDC-2"))
    with pytest.raises(Unreadable, match="told of USDC-2"):
        await reader.order_state("USDC-1")


async def test_an_order_listed_twice_discards_the_reading(scripted: Any, order_json: Make) -> None:
    reader = scripted(get_open_orders=[order_json(), order_json(amount=0.02)])
    with pytest.raises(Unreadable, match="twice"):
        await reader.open_orders()


async def test_a_strange_word_in_an_answer_is_told_once(scripted: Any, order_json: Make) -> None:
    strange = order_json(order_state="dreaming")
    reader = scripted(
        get_open_orders=[strange],
        get_order_state=strange,
        get_order_history_by_currency={"orders": [strange], "continuation": None},
    )
    with capture_logs() as logs:
        await reader.open_orders()
        await reader.order_state("USDC-1")
        await reader.order_history("USDC", since_ms=0, is_historical=False)
    assert [log["word"] for log in logs] == ["dreaming"]


# --- a label


async def test_a_label_is_looked_up_among_resting_and_ended_orders(
    scripted: Any, order_json: Make
) -> None:
    reader = scripted(
        get_order_state_by_label=[order_json(order_state="cancelled", creation_timestamp=1)],
        get_open_orders_by_label=[order_json(order_id="USDC-2", creation_timestamp=2)],
    )
    found = await reader.orders_by_label("USDC", LABEL)
    assert [order.order_id for order in found] == ["USDC-1", "USDC-2"]


async def test_an_order_that_ends_between_two_questions_is_told_as_ended(
    scripted: Any, order_json: Make
) -> None:
    reader = scripted(
        get_open_orders_by_label=[order_json()],
        get_order_state_by_label=[order_json(order_state="filled", filled_amount=0.01)],
    )
    (order,) = await reader.orders_by_label("USDC", LABEL)
    assert order.status is OrderStatus.FILLED


async def test_a_label_unknown_may_be_an_error_or_an_empty_answer(scripted: Any) -> None:
    reader = scripted(
        get_open_orders_by_label=[],
        get_order_state_by_label=Rejected("order_not_found", code=10004),
    )
    assert await reader.orders_by_label("USDC", LABEL) == ()


async def test_orders_under_other_labels_are_no_answer(scripted: Any, order_json: Make) -> None:
    reader = scripted(
        get_open_orders_by_label=[], get_order_state_by_label=[order_json(label="vg-a-1-2")]
    )
    with pytest.raises(Unreadable, match="told of others"):
        await reader.orders_by_label("USDC", LABEL)


# --- the complete search


async def test_nothing_is_found_only_after_every_store_was_asked(nothing: Any) -> None:
    findings = await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)
    assert (findings.orders, findings.fills) == ((), ())
    asked = [(method, params.get("historical")) for method, params in nothing.asked]
    assert asked == [
        ("private/get_open_orders_by_label", None),
        ("private/get_order_state_by_label", None),
        ("private/get_order_history_by_currency", False),
        ("private/get_order_history_by_currency", True),
        ("private/get_user_trades_by_currency_and_time", False),
        ("private/get_user_trades_by_currency_and_time", True),
    ]
    for _, params in nothing.asked:
        assert params["currency"] == "USDC"
        assert params.get("include_unfilled", True)


@pytest.mark.parametrize("method", STORES)
@pytest.mark.parametrize("is_historical", [False, True])
@pytest.mark.parametrize(
    "failure",
    [
        Transient("settlement"),
        OutcomeUnknown("no answer"),
        Rejected("forbidden", code=13021),
        {"not": "an answer"},
    ],
    ids=["not now", "no answer", "refused", "nonsense"],
)
async def test_a_store_that_cannot_be_asked_makes_the_whole_search_fail(
    nothing: Any, method: str, is_historical: bool, failure: Any
) -> None:
    answer = nothing.answers[method]
    is_two = method.endswith(("currency", "time"))
    stores = (answer, failure) if is_historical else (failure, answer)
    nothing.answers[method] = by_store(*stores) if is_two else failure
    with pytest.raises(VigilError):
        await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)


@pytest.mark.parametrize("is_historical", [False, True])
async def test_an_order_is_found_where_only_the_history_has_it(
    nothing: Any, order_json: Make, is_historical: bool
) -> None:
    empty = nothing.answers["private/get_order_history_by_currency"]
    ended = order_json(order_state="cancelled", cancel_reason="cancel_on_disconnect")
    other = order_json(order_id="USDC-2", label="vg-a-1-2", order_state="filled")
    page = {"orders": [other, ended], "continuation": None}
    stores = (empty, page) if is_historical else (page, empty)
    nothing.answers["private/get_order_history_by_currency"] = by_store(*stores)
    findings = await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)
    assert [order.order_id for order in findings.orders] == ["USDC-1"]


@pytest.mark.parametrize("is_historical", [False, True])
async def test_a_fill_is_found_where_only_the_trades_have_it(
    nothing: Any, fill_json: Make, is_historical: bool
) -> None:
    method = "private/get_user_trades_by_currency_and_time"
    empty = nothing.answers[method]
    own = fill_json(timestamp=SINCE_MS + 1)
    other = fill_json(trade_id="USDC-8", label="", order_id="USDC-9", timestamp=SINCE_MS + 1)
    page = {"trades": [own, other], "has_more": False}
    stores = (empty, page) if is_historical else (page, empty)
    nothing.answers[method] = by_store(*stores)
    findings = await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)
    assert [fill.trade_id for fill in findings.fills] == ["USDC-7"]


async def test_a_fill_without_label_belongs_to_the_order_that_has_it(
    nothing: Any, order_json: Make, fill_json: Make
) -> None:
    nothing.answers["private/get_order_state_by_label"] = [order_json(order_state="filled")]
    nothing.answers["private/get_user_trades_by_currency_and_time"] = {
        "trades": [fill_json(label=None, timestamp=SINCE_MS + 1)],
        "has_more": False,
    }
    findings = await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)
    assert [fill.order_id for fill in findings.fills] == ["USDC-1"]


async def test_two_orders_under_one_label_are_both_found(nothing: Any, order_json: Make) -> None:
    nothing.answers["private/get_order_state_by_label"] = [
        order_json(order_id="USDC-2", order_state="filled"),
        order_json(order_id="USDC-1"),
    ]
    findings = await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)
    assert [order.order_id for order in findings.orders] == ["USDC-1", "USDC-2"]


async def test_an_order_in_a_strange_state_is_found_and_proves_nothing(
    nothing: Any, order_json: Make
) -> None:
    nothing.answers["private/get_order_state_by_label"] = [order_json(order_state="dreaming")]
    (order,) = (await nothing.search_label("USDC", LABEL, since_ms=SINCE_MS)).orders
    assert order.status is OrderStatus.UNKNOWN


# --- histories


async def test_history_is_read_until_it_is_older_than_asked_for(
    scripted: Any, turns: Any, order_json: Make
) -> None:
    pages = turns(
        {
            "orders": [order_json(order_id=str(at), last_update_timestamp=at)],
            "continuation": f"c{at}",
        }
        for at in (900, 500, 499, 10)
    )
    reader = scripted(get_order_history_by_currency=pages)
    found = await reader.order_history("USDC", since_ms=500, is_historical=True)
    assert [order.order_id for order in found] == ["900", "500", "499"]
    assert [params.get("continuation") for _, params in reader.asked] == [None, "c900", "c500"]


async def test_history_may_come_as_a_bare_array_that_is_not_full(
    scripted: Any, order_json: Make
) -> None:
    reader = scripted(get_order_history_by_currency=[order_json(order_state="filled")])
    (order,) = await reader.order_history("USDC", since_ms=0, is_historical=False)
    assert order.status is OrderStatus.FILLED
    full = [order_json(order_id=str(at)) for at in range(1_000)]
    reader.answers["private/get_order_history_by_currency"] = full
    with pytest.raises(Unreadable, match="more"):
        await reader.order_history("USDC", since_ms=0, is_historical=False)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"orders": [], "continuation": "x"}, id="empty, and there is more"),
        pytest.param({"continuation": None}, id="no orders at all"),
        pytest.param({"orders": None, "continuation": None}, id="null"),
    ],
)
async def test_a_page_of_history_that_does_not_add_up_is_no_history(
    scripted: Any, page: Any
) -> None:
    reader = scripted(get_order_history_by_currency=page)
    with pytest.raises(Unreadable):
        await reader.order_history("USDC", since_ms=0, is_historical=False)


async def test_history_of_another_currency_is_no_answer(scripted: Any, order_json: Make) -> None:
    page = {"orders": [order_json()], "continuation": None}
    reader = scripted(get_order_history_by_currency=page)
    with pytest.raises(Unreadable, match="told of others"):
        await reader.order_history("BTC", since_ms=0, is_historical=False)


async def test_a_trigger_that_fired_into_a_refusal_is_told(scripted: Any) -> None:
    def entry(at_ms: int, **changes: Any) -> dict[str, Any]:
        return {
            "timestamp": at_ms,
            "trigger_order_id": "USDC-SLMB-7",
            "instrument_name": "BTC_USDC-PERPETUAL",
            "order_state": "new",
            "request": "trigger:order",
        } | changes

    reader = scripted(
        get_trigger_order_history={
            "entries": [
                entry(20, order_state="rejected:reduce_direction", request="trigger"),
                entry(10),
                entry(9, trigger_order_id="USDC-SLMB-6"),
            ],
            "continuation": None,
        }
    )
    rejected, _ = await reader.trigger_order_history("USDC", since_ms=10)
    assert (rejected.order_id, rejected.state) == (None, "rejected:reduce_direction")
    with pytest.raises(Unreadable, match="told of others"):
        await reader.trigger_order_history("BTC", since_ms=10, instrument_name="BTC-PERPETUAL")

"""What armed faults make of requests and notifications: nothing when none is, and the same again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.faults.interference import ORDINARY, Faults
from vigil.paper.faults.menu import MENU
from vigil.paper.faults.wire_faults import NOTIFICATION_FAULTS, REPLY_FAULTS, REQUEST_FAULTS
from vigil.paper.refusals import Refusal
from vigil.paper.wire.framing import Request

NOW_MS = 1_795_000_000_000
PAGE = {"trades": [{"trade_id": "1", "label": "a", "order_state": "open"}] * 3, "has_more": False}
NEEDED = {"code": 10040, "change": "new-field"}
OF_KIND = {"decimal": 1, "integer": 1, "seconds": 1, "text": "x"}


def needed_by(name):
    """Values for the fields that have no default."""
    return {
        param.name: NEEDED.get(param.name) or OF_KIND.get(param.kind.value) or param.choices[0]
        for param in MENU[name].params
        if param.described()["required"]
    }


def encode(answer):
    error = isinstance(answer, Refusal)
    return json.dumps({"error": answer.code} if error else {"result": answer}).encode()


def trace(seed, names, methods):
    """All that becomes of some requests and of a notification after each."""
    faults, told = Faults(seed), []
    for name in names:
        fields = {"probability": "0.5", "count": 1000} | needed_by(name)
        target = {"channel": "*"} if MENU[name].point == "notification" else {"method": "*"}
        faults.arm(name, **fields, **target)
    for step, method in enumerate(methods):
        now_ms = NOW_MS + step
        request = Request(method=method, params={"label": f"l{step}"}, request_id=step)
        plan = faults.on_request(request, 1, now_ms)
        refusal = plan.refusal and (plan.refusal.code, plan.refusal.message)
        told.append((plan.is_lost, plan.is_applied, plan.delay_s, plan.times, refusal))
        said = faults.on_reply(request, 1, PAGE, encode, now_ms)
        told.append([(sending.delay_s, sending.frame) for sending in said.sendings])
        message = {"params": {"channel": "user.orders.x", "data": dict(PAGE["trades"][0])}}
        sendings, _ = faults.on_notification(message, 1, now_ms)
        told.append([(sending.delay_s, sending.frame) for sending in sendings])
    told.append(sorted(faults.arms.hits.items()))
    return told


SMALL = [
    fault.name
    for fault in REQUEST_FAULTS + REPLY_FAULTS + NOTIFICATION_FAULTS
    if not fault.name.startswith(("flood", "garble"))
]
METHODS = st.lists(
    st.sampled_from(["private/buy", "private/get_positions", "public/auth"]), max_size=8
)


@given(
    seed=st.integers(0, 2**32),
    names=st.lists(st.sampled_from(SMALL), unique=True, max_size=6),
    methods=METHODS,
)
def test_the_same_seed_and_sequence_give_the_same_faults(seed, names, methods):
    assert trace(seed, names, methods) == trace(seed, names, methods)


@given(methods=METHODS)
def test_with_nothing_armed_everything_passes_as_it_is(methods):
    faults = Faults()
    assert not faults.watches_notifications
    assert faults.on_accept(NOW_MS) is None
    for method in methods:
        request = Request(method=method)
        assert faults.on_request(request, 1, NOW_MS) is ORDINARY
        assert faults.after_request(request, 1, NOW_MS) == []
        said = faults.on_reply(request, 1, PAGE, encode, NOW_MS)
        assert said.answer is PAGE
        assert [sending.frame for sending in said.sendings] == [encode(PAGE)]


@pytest.mark.parametrize("name", sorted(MENU))
def test_every_entry_can_be_armed_with_nothing_but_what_it_needs(name):
    armed = Faults().arm(name, **needed_by(name))
    assert armed.name == name


def test_a_change_that_fits_no_message_of_a_flood_is_no_hit():
    faults = Faults()
    faults.arm("flood", messages=5)
    faults.arm("mutate-notification", change="missing-field", field="nowhere")
    message = {"params": {"channel": "ticker.x", "data": {"timestamp": 1}}}
    sendings, _ = faults.on_notification(message, 1, NOW_MS)
    assert len(sendings) == 5
    assert faults.arms.hits == {"flood": 1, "mutate-notification": 0}


def test_a_page_that_comes_again_is_one_of_the_same_method():
    faults = Faults()
    faults.arm("cut-page", how="repeated", count=2)
    pages = {"private/get_user_trades_by_order": ["t1"], "private/get_positions": ["p1"]}
    for method, page in pages.items():
        said = faults.on_reply(Request(method=method), 1, page, encode, NOW_MS)
        assert said.answer == page
    again = faults.on_reply(Request(method="private/get_positions"), 1, ["p2"], encode, NOW_MS)
    assert again.answer == ["p1"]


def test_heartbeats_are_no_channels_and_pass():
    faults = Faults()
    faults.arm("mute-channel")
    sendings, deeds = faults.on_notification({"params": {"type": "test_request"}}, 1, NOW_MS)
    assert len(sendings) == 1
    assert deeds == []

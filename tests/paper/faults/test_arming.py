"""Which fault strikes what and when: by tables, and the same again for the same seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.paper.faults.arming import (
    AFTER_REQUEST,
    BEFORE_REQUEST,
    ON_NOTIFICATION,
    TIME,
    Arms,
    Matcher,
    Subject,
)
from vigil.paper.faults.entry import Point, Unfit

NOW_MS = 1_795_000_000_000
BUY = Subject(method="private/buy", instruments=frozenset({"BTC-PERPETUAL"}), connection=1)


def strikes(arms, subject=BUY, now_ms=NOW_MS, trigger=Point.REPLY):
    return [armed.name for armed in arms.strikes(trigger, subject, now_ms)]


class TestMatching:
    @pytest.mark.parametrize(
        ("matcher", "subject", "is_meant"),
        [
            pytest.param({}, Subject(), True, id="anything"),
            pytest.param({"method": ("private/buy",)}, BUY, True, id="same method"),
            pytest.param({"method": ("private/*",)}, BUY, True, id="glob"),
            pytest.param({"method": ("private/sell", "private/b*")}, BUY, True, id="alternative"),
            pytest.param({"method": ("private/sell",)}, BUY, False, id="other method"),
            pytest.param({"method": ("*x",)}, Subject(), False, id="no method at all"),
            pytest.param({"instrument": ("BTC-*",)}, BUY, True, id="instrument"),
            pytest.param({"instrument": ("ETH-*",)}, BUY, False, id="other instrument"),
            pytest.param({"connection": 1}, BUY, True, id="connection"),
            pytest.param({"connection": 2}, BUY, False, id="other connection"),
            pytest.param({"transport": "websocket"}, BUY, True, id="socket"),
            pytest.param({"transport": "http"}, BUY, False, id="not http"),
            pytest.param({"transport": "http"}, Subject(method="private/buy"), True, id="http"),
            pytest.param(
                {"label": ("vg-*",)}, Subject(labels=frozenset({"vg-1"})), True, id="label"
            ),
        ],
    )
    def test_a_matcher_means_some(self, matcher, subject, is_meant):
        assert Matcher(**matcher).covers(subject) is is_meant


class TestWhen:
    def test_once_unless_told_otherwise(self):
        arms = Arms()
        arms.arm("withhold-reply", {"method": "private/buy"}, NOW_MS)
        assert strikes(arms) == ["withhold-reply"]
        assert strikes(arms) == []
        assert arms.armed() == []
        assert arms.hits["withhold-reply"] == 1

    def test_so_many_times_after_so_many_matches(self):
        arms = Arms()
        arms.arm("withhold-reply", {"count": 2, "skip": 1}, NOW_MS)
        assert [bool(strikes(arms)) for _ in range(5)] == [False, True, True, False, False]

    def test_a_lasting_one_until_it_is_disarmed(self):
        arms = Arms()
        armed = arms.arm("mute-channel", {}, NOW_MS)
        trigger = Point.NOTIFICATION
        assert all(strikes(arms, trigger=trigger) for _ in range(50))
        arms.disarm(armed.number)
        assert strikes(arms, trigger=trigger) == []

    @pytest.mark.parametrize(
        ("fields", "at_ms", "is_struck"),
        [
            pytest.param({"from_ms": NOW_MS + 10}, NOW_MS + 9, False, id="before"),
            pytest.param({"from_ms": NOW_MS + 10}, NOW_MS + 10, True, id="from then"),
            pytest.param({"until_ms": NOW_MS + 10}, NOW_MS + 9, True, id="until then"),
            pytest.param({"until_ms": NOW_MS + 10}, NOW_MS + 10, False, id="then no more"),
            pytest.param({"in_s": 1}, NOW_MS + 999, False, id="seconds from now, before"),
            pytest.param({"in_s": 1}, NOW_MS + 1000, True, id="seconds from now"),
            pytest.param({"in_s": 1, "for_s": 2}, NOW_MS + 2999, True, id="for seconds"),
            pytest.param({"in_s": 1, "for_s": 2}, NOW_MS + 3000, False, id="seconds are over"),
        ],
    )
    def test_within_a_span_of_exchange_time(self, fields, at_ms, is_struck):
        arms = Arms()
        arms.arm("withhold-reply", fields, NOW_MS)
        assert bool(strikes(arms, now_ms=at_ms)) is is_struck

    def test_one_whose_span_is_over_is_set_aside(self):
        arms = Arms()
        arms.arm("withhold-reply", {"for_s": 1}, NOW_MS)
        strikes(arms, now_ms=NOW_MS + 1000)
        assert arms.armed() == []
        assert [armed.hits for armed in arms.spent] == [0]

    def test_of_two_of_a_name_the_second_waits_for_the_first(self):
        arms = Arms()
        for delay_s in (1, 2):
            arms.arm("delay-reply", {"delay_s": delay_s}, NOW_MS)
        arms.arm("duplicate-reply", {}, NOW_MS)
        assert strikes(arms) == ["delay-reply", "duplicate-reply"]
        (later,) = arms.strikes(Point.REPLY, BUY, NOW_MS)
        assert later.values == {"delay_s": 2.0}

    @given(
        seed=st.integers(0, 2**32),
        chance=st.decimals("0.01", "0.99", places=2),
        asked=st.lists(st.sampled_from(["private/buy", "private/sell"]), max_size=60),
    )
    def test_the_same_seed_and_requests_meet_the_same_faults(self, seed, chance, asked):
        def run():
            arms = Arms(seed)
            arms.arm("withhold-reply", {"probability": chance, "count": 1000}, NOW_MS)
            arms.arm("duplicate-reply", {"probability": chance, "count": 1000}, NOW_MS)
            return [strikes(arms, Subject(method=method)) for method in asked]

        assert run() == run()

    @given(seed=st.integers(0, 2**32))
    def test_another_armed_fault_does_not_change_the_dice_of_the_first(self, seed):
        def run(*others):
            arms = Arms(seed)
            arms.arm("withhold-reply", {"probability": "0.5", "count": 1000}, NOW_MS)
            for other in others:
                arms.arm(other, {"probability": "0.5", "count": 1000}, NOW_MS)
            return ["withhold-reply" in strikes(arms) for _ in range(40)]

        assert run() == run("duplicate-reply", "garble-reply")

    def test_probability_is_about_as_told(self):
        arms = Arms(3)
        arms.arm("withhold-reply", {"probability": "0.25", "count": 10_000}, NOW_MS)
        struck = sum(bool(strikes(arms)) for _ in range(2000))
        assert 420 < struck < 580


class TestTriggers:
    @pytest.mark.parametrize(
        ("fields", "trigger"),
        [
            pytest.param({}, TIME, id="time alone"),
            pytest.param({"in_s": 5}, TIME, id="a time"),
            pytest.param({"method": "private/cancel"}, BEFORE_REQUEST, id="before a request"),
            pytest.param({"method": "*", "moment": "after"}, AFTER_REQUEST, id="after a request"),
            pytest.param({"label": "x"}, BEFORE_REQUEST, id="a label"),
            pytest.param({"instrument": "BTC*"}, BEFORE_REQUEST, id="an instrument"),
            pytest.param({"transport": "http"}, BEFORE_REQUEST, id="a way to come"),
            pytest.param({"channel": "user.*"}, ON_NOTIFICATION, id="a notification"),
        ],
    )
    def test_a_deed_waits_for_what_it_was_armed_with(self, fields, trigger):
        armed = Arms().arm("abort-connection", fields, NOW_MS)
        assert armed.triggers == trigger

    def test_what_time_alone_sets_off_is_due_once_and_no_earlier(self):
        arms = Arms()
        arms.arm("settle", {"in_s": 2}, NOW_MS)
        assert arms.due(NOW_MS + 1999) == []
        assert [armed.name for armed in arms.due(NOW_MS + 2000)] == ["settle"]
        assert arms.due(NOW_MS + 3000) == []


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "fields", "field"),
        [
            ("withhold-reply", {"count": 0}, "count"),
            ("withhold-reply", {"probability": 2}, "probability"),
            ("withhold-reply", {"channel": "user.*"}, "channel"),
            ("mute-channel", {"method": "private/buy"}, "method"),
            ("withhold-reply", {"method": "a,,b"}, "method"),
            ("withhold-reply", {"from_ms": 5, "in_s": 1}, "in_s"),
            ("withhold-reply", {"until_ms": 5, "for_s": 1}, "for_s"),
            ("withhold-reply", {"from_ms": 10, "until_ms": 10}, "until_ms"),
            ("withhold-reply", {"moment": "during"}, "moment"),
            ("withhold-reply", {"metod": "x"}, "metod"),
            ("no-such-fault", {}, "fault"),
        ],
    )
    def test_arming_refuses_and_names_the_field(self, name, fields, field):
        arms = Arms()
        with pytest.raises(Unfit) as caught:
            arms.arm(name, fields, NOW_MS)
        assert caught.value.field == field
        assert arms.armed() == []

    def test_disarming_what_is_not_armed_tells_what_is(self):
        arms = Arms()
        arms.arm("withhold-reply", {}, NOW_MS)
        with pytest.raises(Unfit, match=r"armed are \[1\]"):
            arms.disarm(2)

    def test_a_hit_that_did_nothing_is_taken_back(self):
        arms = Arms()
        arms.arm("withhold-reply", {}, NOW_MS)
        (armed,) = arms.strikes(Point.REPLY, BUY, NOW_MS)
        arms.take_back_hit(armed)
        assert arms.hits["withhold-reply"] == 0
        assert strikes(arms) == ["withhold-reply"]

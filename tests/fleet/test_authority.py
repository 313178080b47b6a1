"""The right to trade: as many reasons against it as there are, each its owner's."""

from vigil.fleet.authority import Authority


def test_at_the_start_nothing_may_be_opened():
    assert Authority().refusal == "not reconciled since the start"


def test_trading_is_allowed_once_the_last_reason_is_gone():
    authority = Authority()
    authority.refuse("session", "no session")
    authority.allow("start")
    assert authority.refusal == "no session"
    authority.allow("session")
    assert authority.refusal is None


def test_one_owner_does_not_withdraw_the_reason_of_another():
    authority = Authority()
    authority.allow("start")
    authority.refuse("stop", "stopping")
    authority.allow("session")
    assert authority.refusal == "stopping"


def test_a_reason_said_again_is_one_reason_in_its_newest_words():
    authority = Authority()
    authority.allow("start")
    authority.refuse("session", "no session: refused")
    authority.refuse("session", "no session: timed out")
    assert authority.refusal == "no session: timed out"
    authority.allow("session")
    assert authority.refusal is None


def test_withdrawing_what_was_never_said_is_no_error():
    authority = Authority()
    authority.allow("session")
    assert authority.refusal is not None

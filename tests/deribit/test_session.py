import msgspec
import pytest

from vigil.deribit import session
from vigil.deribit.session import Deadlines, Liveness, Phase, liveness, to_grant
from vigil.deribit.wire import Unreadable


def grant(text: str) -> session.Grant:
    return to_grant(msgspec.Raw(text.encode()))


def test_a_session_goes_forward_one_step_at_a_time_and_may_end_anywhere() -> None:
    order = [
        Phase.CONNECTING,
        Phase.CONNECTED,
        Phase.AUTHENTICATED,
        Phase.SUBSCRIBED,
        Phase.LIVE,
    ]
    for here in order:
        assert session.advance(here, Phase.ENDED) is Phase.ENDED
        for there in order:
            if order.index(there) == order.index(here) + 1:
                assert session.advance(here, there) is there
            else:
                with pytest.raises(AssertionError):
                    session.advance(here, there)


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [
        pytest.param(0, Liveness.ALIVE, id="just heard"),
        pytest.param(10.9, Liveness.ALIVE, id="before its next heartbeat"),
        pytest.param(11, Liveness.PROBE, id="a heartbeat is late"),
        pytest.param(14, Liveness.DEAD, id="nor did it answer us"),
    ],
)
def test_silence_is_first_asked_about_and_then_believed(
    silent_s: float, expected: Liveness
) -> None:
    assert liveness(silent_s, Deadlines()) is expected


def test_a_half_open_link_is_found_within_fifteen_seconds() -> None:
    deadlines = Deadlines()
    assert deadlines.silence_s + deadlines.watch_s <= 15
    assert deadlines.heartbeat_s >= 10  # the exchange refuses less


@pytest.mark.parametrize(
    ("expires_in", "after_s"),
    [
        pytest.param("900", 450, id="fifteen minutes"),
        pytest.param("3", 1.5, id="seconds"),
        pytest.param("0.01", 1, id="never in a hot loop"),
        pytest.param("31536000", 864_000, id="a year"),
    ],
)
def test_a_token_is_renewed_well_before_it_expires(expires_in: str, after_s: float) -> None:
    made = grant(f'{{"expires_in": {expires_in}, "refresh_token": "r", "scope": ""}}')
    assert made.refresh_after_s == after_s


@pytest.mark.parametrize(
    ("scope", "missing"),
    [
        ("connection trade:read_write account:read", ()),
        ("trade:read_write account:read_write", ()),
        ("trade:read account:read", ("trade:read_write",)),
        ("", ("trade:read_write", "account:read")),
    ],
)
def test_rights_that_the_key_lacks_are_named(scope: str, missing: tuple[str, ...]) -> None:
    made = grant(f'{{"expires_in": 900, "refresh_token": "r", "scope": "{scope}"}}')
    assert made.missing_rights == missing


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"expires_in": 0, "refresh_token": "canary"}',
        '{"expires_in": "soon", "refresh_token": "canary"}',
        '{"refresh_token": "canary", "access_token": "canary"}',
        '"canary"',
        "not json: canary",
    ],
)
def test_an_unusable_grant_is_named_without_quoting_it(text: str) -> None:
    with pytest.raises(Unreadable) as raised:
        grant(text)
    assert "canary" not in str(raised.value)


def test_a_grant_never_renders_its_token() -> None:
    made = grant('{"expires_in": 900, "refresh_token": "canary", "scope": ""}')
    assert "canary" not in f"{made} {made!r}"


def test_a_named_session_asks_for_tokens_that_outlive_the_socket() -> None:
    assert "scope" not in session.log_in("id", "secret", None)
    assert session.log_in("id", "secret", "vigil")["scope"] == "session:vigil"


def test_the_recorded_grant_parses(recorded, member) -> None:  # type: ignore[no-untyped-def]
    made = to_grant(member(recorded("roq/auth.json"), "result"))
    assert made.expires_in_s == 31_536_000
    assert made.missing_rights == ()

from typing import Any

import msgspec
import pytest

from vigil.deribit import session
from vigil.deribit.decoding import Unreadable
from vigil.deribit.session import (
    ApiKey,
    AuthMethod,
    Deadlines,
    Liveness,
    Phase,
    liveness,
    to_grant,
)


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
    ("silent_s", "unanswered_s", "probed_ago_s", "expected"),
    [
        pytest.param(0, None, 0, Liveness.ALIVE, id="just heard"),
        pytest.param(0, None, 5, Liveness.PROBE, id="time to ask"),
        pytest.param(0, 7.9, 7.9, Liveness.ALIVE, id="asked, not yet answered"),
        pytest.param(0, 8, 8, Liveness.DEAF, id="it brings, and does not answer"),
        pytest.param(14, None, 1, Liveness.SILENT, id="nothing comes"),
        pytest.param(14, 9, 9, Liveness.SILENT, id="nothing comes, nor an answer"),
    ],
)
def test_a_link_must_bring_something_and_answer(
    silent_s: float, unanswered_s: float | None, probed_ago_s: float, expected: Liveness
) -> None:
    found = liveness(
        silent_s=silent_s,
        unanswered_s=unanswered_s,
        probed_ago_s=probed_ago_s,
        deadlines=Deadlines(),
    )
    assert found is expected


def test_a_half_open_link_is_found_within_fifteen_seconds() -> None:
    deadlines = Deadlines()
    assert deadlines.silence_s + deadlines.watch_s <= 15
    assert deadlines.probe_every_s + deadlines.answer_s + 2 * deadlines.watch_s <= 15
    assert deadlines.heartbeat_s >= 10  # the exchange refuses less


@pytest.mark.parametrize(
    ("expires_in", "after_s"),
    [
        pytest.param("900", 450, id="fifteen minutes"),
        pytest.param("3", 1.5, id="seconds"),
        pytest.param("0.01", 0.25, id="never in a hot loop"),
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


def key(secret: Any, **changes: Any) -> ApiKey:
    return ApiKey(client_id="AMANDA", secret=secret("AMANDASECRECT"), **changes)


def log_in(made: ApiKey) -> Any:
    return session.log_in(made, timestamp_ms=1_576_074_319_000, nonce="1iqt2wls")


def test_a_named_session_asks_for_tokens_that_outlive_the_socket(secret: Any) -> None:
    assert "scope" not in log_in(key(secret))
    assert log_in(key(secret, session_name="vigil"))["scope"] == "session:vigil"


def test_the_documented_signature_comes_out() -> None:
    made = session.signature("AMANDASECRECT", timestamp_ms=1_576_074_319_000, nonce="1iqt2wls")
    assert made == "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"


def test_signing_proves_the_secret_without_sending_it(secret: Any) -> None:
    assert log_in(key(secret)) == {
        "grant_type": "client_signature",
        "client_id": "AMANDA",
        "timestamp": 1_576_074_319_000,
        "nonce": "1iqt2wls",
        "data": "",
        "signature": "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
    }


def test_the_secret_itself_is_sent_where_that_is_asked_for(secret: Any) -> None:
    assert log_in(key(secret, method=AuthMethod.CREDENTIALS)) == {
        "grant_type": "client_credentials",
        "client_id": "AMANDA",
        "client_secret": "AMANDASECRECT",
    }


def test_tries_to_log_in_again_grow_rarer_and_stay_bounded() -> None:
    delays = [session.retry_s(failures) for failures in (1, 2, 3, 8, 10_000)]
    assert delays == [0.5, 1.0, 2.0, 60.0, 60.0]


def test_rights_that_nobody_needs_are_named() -> None:
    made = grant('{"expires_in": 9, "refresh_token": "r", "scope": "wallet:read_write trade:read"}')
    assert made.needless_rights == ("wallet:read_write",)
    assert not grant(
        '{"expires_in": 9, "refresh_token": "", "scope": "wallet:read"}'
    ).needless_rights


def test_the_recorded_grant_parses(recorded, member) -> None:  # type: ignore[no-untyped-def]
    made = to_grant(member(recorded("roq/auth.json"), "result"))
    assert made.expires_in_s == 31_536_000
    assert made.missing_rights == ()

"""Scopes, named sessions, keys and addresses at `public/auth`."""

import hashlib
import hmac

import pytest

from vigil.paper.session import tokens
from vigil.paper.session.credits import Limits
from vigil.paper.session.keys import CLIENT_ID, CLIENT_SECRET, READER_ID, READER_SECRET, ApiKey
from vigil.paper.session.rights import FULL_RIGHTS
from vigil.paper.switches import Switches
from vigil.paper.wire.framing import Request

LINEAR = "BTC_USDC-PERPETUAL"


def log_in(desk, connection_id=None, /, scope="", client_id=CLIENT_ID, secret=CLIENT_SECRET):
    params = {"client_id": client_id, "client_secret": secret, "scope": scope}
    return desk.call("public/auth", connection_id, grant_type="client_credentials", **params)


def works(desk, grant):
    """Whether an access token is good on a connection of its own."""
    try:
        access = grant["access_token"]
        desk.call("private/get_positions", desk.connect(), access_token=access)
    except Exception as error:
        assert getattr(error, "code", None) == 13009  # noqa: PT017 - it may also succeed
        return False
    return True


class TestScope:
    def test_what_is_granted_is_told(self, desk):
        words = log_in(desk, scope="trade:read wallet:none")["scope"].split()
        assert {"trade:read", "account:read_write", "connection", "mainaccount"} <= set(words)
        assert not any(word.startswith("wallet") for word in words)

    def test_a_reader_asking_for_more_gets_what_it_may(self, desk):
        grant = log_in(
            desk, scope="trade:read_write", client_id=READER_ID, secret=READER_SECRET
        )  # fmt: skip
        assert "trade:read" in grant["scope"].split()

    def test_a_narrow_login_of_the_full_key_is_held_to_it(self, desk):
        log_in(desk, scope="trade:read")
        assert desk.refusal("private/cancel_all").code == 13403
        log_in(desk)
        desk.call("private/cancel_all")

    def test_a_refresh_grants_the_same_again(self, desk):
        grant = log_in(desk, scope="trade:read expires:60")
        again = desk.call(
            "public/auth", grant_type="refresh_token", refresh_token=grant["refresh_token"]
        )
        assert again["scope"] == grant["scope"]
        assert again["expires_in"] == 60
        assert desk.refusal("private/cancel_all").code == 13403

    def test_a_lifetime_asked_for_is_given_and_kept(self, desk):
        assert log_in(desk, scope="expires:60")["expires_in"] == 60
        desk.wait(59_999)
        desk.call("private/get_positions")
        desk.wait(1)
        assert desk.refusal("private/get_positions").code == 13009

    def test_a_token_bound_to_an_address_is_refused_elsewhere(self, desk):
        grant = log_in(desk, scope="session:x ip:10.0.0.1")
        access = grant["access_token"]
        assert desk.refusal("private/get_positions", desk.connect(), access_token=access).code == (
            13009
        )
        desk.venue.connect(99, address="10.0.0.1")
        desk.call("private/get_positions", 99, access_token=access)


def test_of_too_many_logins_the_first_ends(desk, monkeypatch):
    monkeypatch.setattr(tokens, "_TOKENS_MAX", 5)
    key = desk.venue.sessions.keys.find(CLIENT_ID)
    grants = []
    for _ in range(6):
        request = Request(
            method="public/auth",
            params={
                "grant_type": "client_credentials",
                "client_id": CLIENT_ID,
                "client_secret": key.client_secret,
            },
        )
        grants.append(desk.venue.receive_alone(request, desk.now_ms).answer)
    assert [works(desk, grant) for grant in grants] == [False, *[True] * 5]


class TestNamedSessions:
    def fill(self, desk, count=16):
        grants = []
        for i in range(count):
            grants.append(log_in(desk, desk.connect(), scope=f"session:s{i}"))
            desk.now_ms += 1
        return grants

    def test_the_seventeenth_drops_the_oldest(self, desk):
        grants = self.fill(desk)
        assert all(works(desk, grant) for grant in grants)
        newest = log_in(desk, desk.connect(), scope="session:one-more")
        assert [works(desk, grant) for grant in grants] == [False] + [True] * 15
        assert works(desk, newest)

    def test_or_the_one_that_ends_first(self, make_desk):
        desk = make_desk(switches=Switches(drops_oldest_session=False))
        grants = self.fill(desk, 15)
        brief = log_in(desk, desk.connect(), scope="session:brief expires:300")
        log_in(desk, desk.connect(), scope="session:one-more")
        assert not works(desk, brief)
        assert all(works(desk, grant) for grant in grants)

    def test_whoever_was_dropped_is_logged_out_on_its_connection(self, make_desk):
        desk = make_desk(
            limits=Limits(sessions_per_key=1, pools=make_desk().venue.purse.limits.pools)
        )
        first, second = desk.connect(), desk.connect()
        log_in(desk, first, scope="session:a")
        log_in(desk, second, scope="session:b")
        assert desk.refusal("private/get_positions", first).code == 13009
        desk.call("private/get_positions", second)

    def test_a_name_that_is_taken_already_opens_no_other(self, desk):
        grants = self.fill(desk)
        log_in(desk, desk.connect(), scope="session:s3")
        assert all(works(desk, grant) for grant in grants)

    def test_a_refresh_opens_no_other(self, desk):
        grants = self.fill(desk)
        number = desk.connect()
        for _ in range(3):
            grants[5] = desk.call(
                "public/auth", number, grant_type="refresh_token",
                refresh_token=grants[5]["refresh_token"],
            )  # fmt: skip
        assert all(works(desk, grant) for grant in grants)

    def test_keys_are_counted_apart(self, desk):
        grants = self.fill(desk)
        log_in(
            desk, desk.connect(), scope="session:r", client_id=READER_ID, secret=READER_SECRET
        )  # fmt: skip
        assert all(works(desk, grant) for grant in grants)

    def test_connection_logins_are_not_counted(self, desk):
        grants = self.fill(desk)
        for _ in range(5):
            log_in(desk, desk.connect())
        assert all(works(desk, grant) for grant in grants)

    def test_a_named_session_outlives_its_connection(self, desk):
        number = desk.connect()
        named = log_in(desk, number, scope="session:x")
        desk.venue.disconnect(number, desk.now_ms)
        assert named["sid"]
        assert works(desk, named)


class TestRevokedKey:
    def test_it_ends_what_is_logged_in_and_logs_in_no_more(self, desk):
        grant = log_in(desk, scope="session:x")
        desk.venue.operator.revoke_key(CLIENT_ID)
        refusal = desk.refusal("private/get_positions")
        assert (refusal.code, refusal.data) == (13009, {"reason": "invalid_token"})
        assert not works(desk, grant)
        for params in (
            {"grant_type": "client_credentials", "client_id": CLIENT_ID,
             "client_secret": CLIENT_SECRET},
            {"grant_type": "client_signature", "client_id": CLIENT_ID, "timestamp": desk.now_ms,
             "nonce": "n", "signature": hmac.new(CLIENT_SECRET.encode(),
                                                 f"{desk.now_ms}\nn\n".encode(),
                                                 hashlib.sha256).hexdigest()},
        ):  # fmt: skip
            assert desk.refusal("public/auth", desk.connect(), **params).code == 13004
        refresh = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
        assert desk.refusal("public/auth", desk.connect(), **refresh).code == 13009

    def test_other_keys_go_on(self, desk):
        desk.venue.operator.revoke_key(READER_ID)
        desk.call("private/get_positions")

    def test_a_scope_that_was_cut_counts_from_the_next_login(self, desk):
        desk.venue.operator.set_key_scope(CLIENT_ID, "trade:read account:read")
        desk.call("private/cancel_all")
        desk.log_in()
        assert desk.refusal("private/cancel_all").code == 13403


class TestAddress:
    @pytest.fixture
    def bound(self, desk):
        desk.venue.sessions.keys.add(
            ApiKey(client_id="bound", client_secret="s", rights=FULL_RIGHTS, address="10.0.0.1")
        )
        return desk

    def test_a_key_is_refused_from_another_address(self, bound):
        bound.venue.connect(99, address="10.0.0.1")
        log_in(bound, 99, client_id="bound", secret="s")
        refusal = bound.refusal(
            "public/auth", grant_type="client_credentials", client_id="bound", client_secret="s"
        )
        assert refusal.code == 13004


@pytest.mark.parametrize("nonce", ["abc", ""])
def test_a_nonce_is_good_once_for_as_long_as_its_signature_could_be_fresh(desk, nonce):
    def sign():
        text = f"{desk.now_ms}\n{nonce}\n"
        return {
            "grant_type": "client_signature", "client_id": CLIENT_ID, "timestamp": desk.now_ms,
            "nonce": nonce,
            "signature": hmac.new(CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest(),
        }  # fmt: skip

    desk.call("public/auth", **sign())
    desk.now_ms += 60_000
    assert desk.refusal("public/auth", **sign()).code == 13004
    desk.now_ms += 120_001
    desk.call("public/auth", **sign())


@pytest.mark.parametrize(
    ("age_ms", "is_taken"), [(60_000, True), (60_001, False), (-60_001, False)]
)
def test_a_signature_is_good_for_sixty_seconds_either_way(desk, age_ms, is_taken):
    made_ms = desk.now_ms - age_ms
    signature = hmac.new(CLIENT_SECRET.encode(), f"{made_ms}\nn\n".encode(), hashlib.sha256)
    params = {
        "grant_type": "client_signature", "client_id": CLIENT_ID, "timestamp": made_ms,
        "nonce": "n", "signature": signature.hexdigest(),
    }  # fmt: skip
    if is_taken:
        desk.call("public/auth", **params)
    else:
        assert desk.refusal("public/auth", **params).code == 13004


def test_the_published_vector_of_a_signature(desk):
    desk.now_ms = 1_576_074_319_000
    desk.venue.sessions.keys.add(
        ApiKey(client_id="AMANDA", client_secret="AMANDASECRECT", rights=FULL_RIGHTS)
    )
    desk.call(
        "public/auth", grant_type="client_signature", client_id="AMANDA",
        timestamp=desk.now_ms, nonce="1iqt2wls", data="",
        signature="56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
    )  # fmt: skip

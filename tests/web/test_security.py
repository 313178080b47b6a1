import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from vigil.errors import Misconfigured
from vigil.web.api import ROUTES
from vigil.web.security import Gate, Headers, load_or_create_token, new_token

TOKEN = "t" * 40
GATE = Gate(host="192.0.2.7", port=3000, token=TOKEN, proxied_names=["vigil.example"])


@pytest.mark.parametrize(
    ("host", "heard"),
    [
        pytest.param("localhost:3000", True, id="localhost"),
        pytest.param("LOCALHOST:3000", True, id="upper case"),
        pytest.param("127.0.0.1:3000", True, id="v4 loopback"),
        pytest.param("[::1]:3000", True, id="v6 loopback"),
        pytest.param("localhost", True, id="no port"),
        pytest.param("192.0.2.7:3000", True, id="the bound address"),
        pytest.param("vigil.example", True, id="a proxied name"),
        pytest.param("localhost:3001", False, id="another port"),
        pytest.param("evil.example:3000", False, id="a rebound name"),
        pytest.param("localhost.evil.example:3000", False, id="a name that begins like ours"),
        pytest.param("evil.example#localhost:3000", False, id="a fragment"),
        pytest.param("user@localhost:3000", False, id="user info"),
        pytest.param("127.0.0.1:3000\n", False, id="a newline"),
        pytest.param("127.0.0.2:3000", False, id="another loopback address"),
        pytest.param("", False, id="empty"),
    ],
)
def test_only_own_names_are_heard(host, heard):
    refusal = GATE.refusal(Headers(hosts=(host,)))
    assert (refusal is None) is heard
    assert refusal is None or refusal.status == 421


def test_no_host_or_a_second_foreign_one_is_refused():
    assert GATE.refusal(Headers(hosts=())) is not None
    assert GATE.refusal(Headers(hosts=("localhost:3000", "evil.example"))) is not None


@pytest.mark.parametrize(
    ("origin", "heard"),
    [
        pytest.param("http://localhost:3000", True, id="own page"),
        pytest.param("https://vigil.example", True, id="own page behind a proxy"),
        pytest.param("http://localhost:8080", False, id="another server of this machine"),
        pytest.param("http://localhost", False, id="another server of this machine on port 80"),
        pytest.param("https://evil.example", False, id="another site"),
        pytest.param("null", False, id="a sandboxed frame or a file"),
        pytest.param("", False, id="empty"),
        pytest.param("chrome-extension://localhost:3000", False, id="an extension"),
    ],
)
def test_only_own_origins_are_heard(origin, heard):
    refusal = GATE.refusal(Headers(hosts=("localhost:3000",), origin=origin))
    assert (refusal is None) is heard
    assert refusal is None or refusal.status == 403


@pytest.mark.parametrize(
    ("site", "mode", "heard"),
    [
        pytest.param("same-origin", "cors", True, id="own script"),
        pytest.param("none", "navigate", True, id="typed address"),
        pytest.param("cross-site", "navigate", True, id="a followed link"),
        pytest.param("cross-site", "no-cors", False, id="another site's image"),
        pytest.param("same-site", "no-cors", False, id="another port's image"),
    ],
)
def test_another_sites_page_is_not_heard_even_without_origin(site, mode, heard):
    headers = Headers(hosts=("localhost:3000",), fetch_site=site, fetch_mode=mode)
    assert (GATE.refusal(headers) is None) is heard


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [
        pytest.param(f"Bearer {TOKEN}", True, id="right"),
        pytest.param(f"bearer  {TOKEN}", True, id="scheme in lower case"),
        pytest.param(f"Bearer {TOKEN}x", False, id="one character more"),
        pytest.param(f"Bearer {TOKEN[:-1]}", False, id="one character less"),
        pytest.param(f"Basic {TOKEN}", False, id="another scheme"),
        pytest.param(TOKEN, False, id="no scheme"),
        pytest.param("Bearer", False, id="no token"),
        pytest.param("Bearer \udcff", False, id="no text"),
        pytest.param(None, False, id="absent"),
    ],
)
def test_commands_need_the_very_token(authorization, allowed):
    refusal = GATE.refusal_of_command(Headers(hosts=(), authorization=authorization))
    assert (refusal is None) is allowed
    assert refusal is None or refusal.status == 401


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_whole_route_table_demands_token_and_refuses_foreign_callers(
    client, operations, bearer, route
):
    before = dict(operations.statuses)
    body = b'{"id": "razor-eth"}'
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": bearer["Authorization"]}):
        response = await client.request(route.method, route.path, content=body, headers=headers)
        if route.is_command:
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        else:
            assert response.status_code == 200
    for headers, status in (
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ):
        response = await client.request(
            route.method, route.path, content=body, headers={**bearer, **headers}
        )
        assert response.status_code == status
    assert operations.statuses == before
    assert operations.runs == []


async def test_unknown_routes_refuse_foreign_callers_too(client):
    response = await client.get("/nothing", headers={"Host": "evil.example"})
    assert response.status_code == 421


async def test_a_target_in_absolute_form_cannot_smuggle_a_foreign_host(exchange_bytes, server):
    reply = await exchange_bytes(
        b"GET http://evil.example/health HTTP/1.1\r\n"
        b"Host: localhost:%d\r\nConnection: close\r\n\r\n" % server.port
    )
    assert reply.startswith(b"HTTP/1.1 421 ")
    reply = await exchange_bytes(
        b"GET http://localhost:%d/health HTTP/1.1\r\n"
        b"Host: localhost:%d\r\nConnection: close\r\n\r\n" % (server.port, server.port)
    )
    assert reply.startswith(b"HTTP/1.1 200 ")


async def test_every_reply_carries_the_security_headers(client, bearer):
    for method, path in (("GET", "/"), ("GET", "/nothing"), ("POST", "/api/reconcile")):
        headers = (await client.request(method, path, headers=bearer)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert headers["server"] == "vigil"


def test_token_is_made_once_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "api-token"
    os.umask(previous := os.umask(0))
    try:
        os.umask(0)
        token = load_or_create_token(path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_token(path, secret_source=lambda: "other" * 10) == token
    assert [item.name for item in tmp_path.iterdir()] == ["api-token"]


def test_a_credential_is_used_and_no_file_is_made(tmp_path):
    token = load_or_create_token(tmp_path / "api-token", SecretStr("from-systemd-credentials"))
    assert token == "from-systemd-credentials"
    assert list(tmp_path.iterdir()) == []


def test_tokens_differ():
    assert len({new_token() for _ in range(100)}) == 100


def test_a_crash_while_making_the_token_leaves_nothing_in_the_way(tmp_path):
    (tmp_path / "api-token.new").write_text("half")
    assert len(load_or_create_token(tmp_path / "api-token")) >= 32


def _symlink(path: Path) -> None:
    (path.parent / "real").write_text("x" * 40)
    path.symlink_to(path.parent / "real")


def _hard_link(path: Path) -> None:
    (path.parent / "real").write_text("x" * 40)
    (path.parent / "real").chmod(0o600)
    path.hardlink_to(path.parent / "real")


def _readable(path: Path) -> None:
    path.write_text("x" * 40)
    path.chmod(0o640)


def _empty(path: Path) -> None:
    path.touch(mode=0o600)


def _binary(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(b"\x00\xff" * 40)


def _fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    "spoil", [_symlink, _hard_link, _readable, _empty, _binary, _fifo, Path.mkdir]
)
def test_a_token_file_that_cannot_be_trusted_is_refused_by_name(tmp_path, spoil):
    path = tmp_path / "api-token"
    spoil(path)
    with pytest.raises(Misconfigured, match="api-token.*(remove|writable)"):
        load_or_create_token(path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="api-token cannot be made.*make the directory"):
        load_or_create_token(tmp_path / "absent" / "api-token")

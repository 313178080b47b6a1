"""Settings: three layers, and errors that a person can act on."""

import pytest

from vigil.config import environment_of, load_settings
from vigil.errors import Misconfigured

KEY = {"VIGIL_CLIENT_ID": "id", "VIGIL_CLIENT_SECRET": "c4nary-secret"}


@pytest.fixture
def toml(tmp_path):
    def write(text: str):
        path = tmp_path / "vigil.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def credentials(tmp_path):
    def write(**files: str) -> dict[str, str]:
        directory = tmp_path / "credentials"
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
        return {"CREDENTIALS_DIRECTORY": str(directory)}

    return write


def refusal(config_file, environ) -> str:
    with pytest.raises(Misconfigured) as refused:
        load_settings(config_file, environ)
    assert "c4nary" not in str(refused.value)
    return str(refused.value)


def test_defaults_are_the_testnet_and_loopback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})
    assert settings.environment == "testnet"
    assert settings.deribit_ws_url == "wss://test.deribit.com/ws/api/v2"
    assert settings.deribit_http_url == "https://test.deribit.com/api/v2"
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 3000)
    assert settings.state_dir == tmp_path / "state"
    assert settings.reconcile_interval_s == 60
    assert settings.warnings == ()


def test_environment_overrides_file_and_credentials_override_both(toml, credentials):
    path = toml('http_port = 1\nlog_level = "debug"\nclient_id = "from file"\nclient_secret = "a"')
    environ = {"VIGIL_HTTP_PORT": "2", **KEY} | credentials(
        client_id="from credential\n", client_secret="real\n"
    )
    settings = load_settings(path, environ)
    assert settings.http_port == 2
    assert settings.log_level == "debug"
    client_id, client_secret = settings.require_key()
    assert client_id == "from credential"
    assert client_secret.get_secret_value() == "real"


def test_an_empty_variable_is_an_unset_one():
    assert load_settings(None, {"VIGIL_HTTP_PORT": "", "VIGIL_CLIENT_ID": " "}).http_port == 3000


def test_paper_exchange_on_loopback_is_recognised_and_its_http_address_derived():
    settings = load_settings(None, {"VIGIL_DERIBIT_WS_URL": "ws://127.0.0.1:8123/ws/api/v2"})
    assert settings.environment == "paper"
    assert settings.deribit_http_url == "http://127.0.0.1:8123/api/v2"


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("wss://www.deribit.com/ws/api/v2", "live"),
        ("wss://streams.deribit.com/ws/api/v2", "live"),
        ("wss://WWW.Deribit.com/ws/api/v2", "live"),
        ("wss://test.deribit.com/ws/api/v2", "testnet"),
        ("ws://localhost:1/ws/api/v2", "paper"),
        ("ws://127.0.0.2:1/", "paper"),
        ("ws://[::1]:1/", "paper"),
        ("wss://deribit.com.example.org/", None),
        ("wss://10.0.0.1/", None),
    ],
)
def test_the_host_tells_the_environment(url, environment):
    assert environment_of(url) == environment


def test_another_host_needs_the_environment_said():
    url = {"VIGIL_DERIBIT_WS_URL": "wss://exchange.example.org/ws/api/v2"}
    assert "set VIGIL_ENVIRONMENT" in refusal(None, url)
    assert load_settings(None, url | {"VIGIL_ENVIRONMENT": "Paper"}).environment == "paper"


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        pytest.param(
            {"VIGIL_HTTP_PORT": "http"},
            ["VIGIL_HTTP_PORT", "'http'", "0 to 65535"],
            id="text for a number",
        ),
        pytest.param({"VIGIL_HTTP_PORT": "70000"}, ["VIGIL_HTTP_PORT", "'70000'"], id="too large"),
        pytest.param(
            {"VIGIL_RECONCILE_INTERVAL_S": "0"}, ["VIGIL_RECONCILE_INTERVAL_S", "60"], id="zero"
        ),
        pytest.param(
            {"VIGIL_RECONCILE_INTERVAL_S": "nan"}, ["VIGIL_RECONCILE_INTERVAL_S"], id="nan"
        ),
        pytest.param({"VIGIL_LOG_FORMAT": "xml"}, ["VIGIL_LOG_FORMAT", "console"], id="no choice"),
        pytest.param({"VIGIL_LOG_LEVEL": "x" * 99}, ["text of 99 characters"], id="long value"),
        pytest.param(
            {"VIGIL_CLIENT_ID": "id"}, ["client_secret", "VIGIL_CLIENT_SECRET"], id="half a key"
        ),
        pytest.param(
            {"VIGIL_API_TOKEN": "c4nary"}, ["VIGIL_API_TOKEN", "a secret", "16"], id="weak token"
        ),
        pytest.param(
            {"VIGIL_DERIBIT_WS_URL": "https://test.deribit.com"},
            ["VIGIL_DERIBIT_WS_URL", "'https'", "wss"],
            id="wrong scheme",
        ),
        pytest.param(
            {"VIGIL_DERIBIT_WS_URL": "ws://test.deribit.com/ws/api/v2"},
            ["in clear", "wss://"],
            id="key in clear",
        ),
        pytest.param(
            {"VIGIL_DERIBIT_WS_URL": "wss://me:c4nary@test.deribit.com/"},
            ["VIGIL_DERIBIT_WS_URL", "password"],
            id="secret in the address",
        ),
        pytest.param({"VIGIL_DERIBIT_WS_URL": "wss://x:99999/"}, ["scheme ''"], id="no port"),
        pytest.param(
            {"VIGIL_ENVIRONMENT": "live"},
            ["VIGIL_ENVIRONMENT", "testnet", "agree"],
            id="live on test",
        ),
        pytest.param(
            {"VIGIL_ENVIRONMENT": "mainnet"}, ["VIGIL_ENVIRONMENT", "paper"], id="no such"
        ),
        pytest.param(
            {"VIGIL_DERIBIT_HTTP_URL": "https://www.deribit.com/api/v2"},
            ["VIGIL_DERIBIT_HTTP_URL", "live", "testnet"],
            id="two witnesses of two exchanges",
        ),
    ],
)
def test_a_wrong_value_names_the_variable_its_shape_and_the_fix(environ, parts):
    message = refusal(None, environ)
    for part in parts:
        assert part in message


def test_several_wrong_values_are_all_named():
    message = refusal(None, {"VIGIL_HTTP_PORT": "x", "VIGIL_LOG_LEVEL": "loud"})
    assert "VIGIL_HTTP_PORT" in message
    assert "VIGIL_LOG_LEVEL" in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("http_prot = 1", ["'http_prot'", "did you mean 'http_port'?"], id="misspelt"),
        pytest.param("a = 1 2", ["not TOML", "line 1"], id="broken"),
        pytest.param("http_port = true", ["http_port in ", "True"], id="truth value for a number"),
        pytest.param("http_port = [1]", ["http_port in ", "type list"], id="list for a number"),
        pytest.param("deribit_ws_url = 1", ["deribit_ws_url in ", "1"], id="number for an address"),
        pytest.param("warnings = ['x']", ["unknown key 'warnings'"], id="not a setting"),
    ],
)
def test_a_wrong_file_names_file_key_and_fix(toml, text, parts):
    path = toml(text)
    message = refusal(path, {})
    for part in [*parts, str(path)]:
        assert part in message


def test_a_missing_file_that_was_asked_for_is_refused(tmp_path):
    assert "--config" in refusal(tmp_path / "absent.toml", {})


@pytest.mark.parametrize("content", ["", "\n", "a\nb", "x" * 5000, "kéy"])
def test_a_credential_that_is_no_key_names_the_file_and_not_the_content(credentials, content):
    environ = credentials(client_id="id", client_secret=content)
    message = refusal(None, environ)
    assert "client_secret" in message
    assert "kéy" not in message


def test_unknown_variables_are_warned_of_with_a_suggestion():
    settings = load_settings(None, {"VIGIL_HTTP_PROT": "1", "VIGIL_PAPER_SEED": "1", "HOME": "/"})
    assert settings.warnings == (
        "VIGIL_HTTP_PROT is set and not known; did you mean 'VIGIL_HTTP_PORT'?",
    )


def test_a_secret_in_a_file_that_others_may_read_is_warned_of(toml):
    path = toml('client_id = "id"\nclient_secret = "s"')
    assert load_settings(path, {}).warnings == ()
    path.chmod(0o644)
    assert f"chmod 600 {path}" in load_settings(path, {}).warnings[0]


def test_a_secret_is_in_no_rendering_of_the_settings():
    settings = load_settings(None, KEY)
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "c4nary" not in text
        assert "warnings" not in settings.model_dump()


def test_without_a_key_the_message_says_where_one_is_given():
    with pytest.raises(Misconfigured, match="VIGIL_CLIENT_SECRET"):
        load_settings(None, {}).require_key()


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_settings(None, {}).http_port = 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "signature"), ({"VIGIL_AUTH_METHOD": "Credentials"}, "credentials")],
)
def test_logging_in_is_by_signature_unless_told_otherwise(given, expected):
    assert load_settings(None, given).auth_method == expected


def test_another_way_of_logging_in_is_refused_with_the_fix():
    with pytest.raises(Misconfigured, match="one of signature, credentials"):
        load_settings(None, {"VIGIL_AUTH_METHOD": "telepathy"})

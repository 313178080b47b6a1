"""Settings: one frozen value, read once at start, from three places.

A TOML file is overridden by the environment (`VIGIL_*`), and that by systemd credentials (files in
`$CREDENTIALS_DIRECTORY`). What cannot be used is refused as `Misconfigured`, naming where the value
came from, its shape and the fix; a secret is never shown. Only the composition root reads this.

The three layers are laid here and not by pydantic-settings, whose import alone takes 110 ms, more
than the whole start may; pydantic checks the values.
"""

import difflib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from vigil.errors import Misconfigured

Environment = Literal["paper", "testnet", "live"]
AuthMethodName = Literal["signature", "credentials"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]

DEFAULT_WS_URL = "wss://test.deribit.com/ws/api/v2"
ENV_PREFIX = "VIGIL_"

_CREDENTIALS = ("client_id", "client_secret", "api_token")
_SECRETS = frozenset({"client_secret", "api_token"})
_LIVE_HOSTS = frozenset({"www.deribit.com", "streams.deribit.com"})
_TESTNET_HOSTS = frozenset({"test.deribit.com"})
_FOREIGN_PREFIXES = ("VIGIL_PAPER_", "VIGIL_TEST_")  # read by scripts and tests, not by us
_CREDENTIAL_LENGTH_MAX = 4096
_SHOWN_LENGTH_MAX = 24


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")  # noqa: TRY004 - pydantic wants it
    return value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class Settings(BaseModel):
    """All that Vigil is told from outside, apart from the strategies.

    Each description is the fix that a wrong value is answered with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Annotated[Environment, BeforeValidator(_lower)] = Field(
        description="one of paper, testnet, live"
    )
    state_dir: Path = Field(default=Path("state"), description="a directory Vigil may write")
    http_host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="such as 127.0.0.1"
    )
    http_port: Annotated[int, BeforeValidator(_refuse_bool)] = Field(
        default=3000, ge=0, le=65535, description="a whole number from 0 to 65535, such as 3000"
    )
    deribit_ws_url: str = Field(default=DEFAULT_WS_URL, description=f"such as {DEFAULT_WS_URL}")
    deribit_http_url: str = Field(description="such as https://test.deribit.com/api/v2")
    client_id: str | None = Field(
        default=None, min_length=1, description="the id of an API key, as Deribit shows it"
    )
    client_secret: SecretStr | None = Field(
        default=None, min_length=1, description="the secret of the same API key"
    )
    auth_method: Annotated[AuthMethodName, BeforeValidator(_lower)] = Field(
        default="signature", description="one of signature, credentials"
    )
    api_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="at least 16 characters, such as `openssl rand -hex 16` prints",
    )
    reconcile_interval_s: Annotated[float, BeforeValidator(_refuse_bool)] = Field(
        default=60.0, gt=0, le=3600, description="seconds from above 0 to 3600, such as 60"
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        default="info", description="one of debug, info, warning, error"
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = Field(
        default="auto", description="one of auto, console, json"
    )
    warnings: tuple[str, ...] = Field(
        default=(), description="what was odd and harmless, for the log", exclude=True
    )

    def require_key(self) -> tuple[str, SecretStr]:
        """The API key's id and secret.

        Raises: Misconfigured, when there is no key.
        """
        if self.client_id is None or self.client_secret is None:
            raise Misconfigured(
                "client_id, client_secret: no API key is given; set VIGIL_CLIENT_ID and"
                " VIGIL_CLIENT_SECRET, or the credentials client_id and client_secret of the unit"
            )
        return self.client_id, self.client_secret


def load_settings(config_file: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read, layer and check all settings.

    Args:
        config_file: TOML with the field names of `Settings` as keys; None for none.
        environ: The process environment.

    Raises: Misconfigured, naming the place, the value's shape and the fix.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    warnings = _warn_of_unknown_variables(environ)
    if config_file is not None:
        layer = _read_toml(config_file)
        warnings += _warn_of_readable_secrets(config_file, layer)
        values |= layer
        origins |= {name: f"{name} in {config_file}" for name in layer}
    for name in _field_names():
        if text := environ.get(_variable(name), "").strip():  # an empty variable is an unset one
            values[name], origins[name] = text, _variable(name)
    for name, path in _credential_files(environ).items():
        values[name], origins[name] = _read_credential(path), f"credential {path}"

    _settle_exchange(values, origins)
    if ("client_id" in values) != ("client_secret" in values):
        given, missing = (
            ("client_id", "client_secret")
            if "client_id" in values
            else ("client_secret", "client_id")
        )
        raise Misconfigured(
            f"{missing}: missing, while {origins[given]} is given; set {_variable(missing)} too"
        )
    try:
        settings = Settings.model_validate(values | {"warnings": tuple(warnings)})
    except ValidationError as error:
        raise _translated(error, values, origins) from None  # its cause could show a value
    return settings.model_copy(update={"state_dir": settings.state_dir.expanduser().absolute()})


def environment_of(ws_url: str) -> Environment | None:
    """Which environment a WebSocket URL's host belongs to; None for a host that is not known."""
    host = (_split(ws_url).hostname or "").lower()
    if host in _LIVE_HOSTS:
        return "live"
    if host in _TESTNET_HOSTS:
        return "testnet"
    return "paper" if _is_loopback(host) else None


def _settle_exchange(values: dict[str, Any], origins: dict[str, str]) -> None:
    """Check the exchange's addresses, and fill in what follows from them.

    Both addresses and the declared environment must agree: a testnet key on the live exchange, or
    the reverse, is refused before anything is sent.
    """
    ws_origin = origins.get("deribit_ws_url", _variable("deribit_ws_url"))
    http_origin = origins.get("deribit_http_url", _variable("deribit_http_url"))
    ws_url = values.get("deribit_ws_url", DEFAULT_WS_URL)
    _check_url(ws_url, ws_origin, plain="ws", secure="wss")
    values.setdefault("deribit_http_url", _http_url_of(ws_url))
    _check_url(values["deribit_http_url"], http_origin, plain="http", secure="https")

    known = environment_of(ws_url)
    declared = _lower(values.get("environment"))
    if declared is None:
        if known is None:
            raise Misconfigured(
                f"{ws_origin}: host {_split(ws_url).hostname!r} is neither Deribit's nor loopback;"
                f" set {_variable('environment')} to one of {', '.join(get_args(Environment))}"
            )
        values["environment"] = known
    elif known is not None and declared != known and declared in get_args(Environment):
        raise Misconfigured(
            f"{origins['environment']}: {declared}, but {ws_origin} leads to {known};"
            " make them agree"
        )
    http_known = environment_of(values["deribit_http_url"])
    if http_known != known:
        raise Misconfigured(
            f"{http_origin}: leads to {http_known or 'an unknown host'}, but {ws_origin} leads to"
            f" {known or 'an unknown host'}; leave it unset to have it derived"
        )


def _check_url(url: object, origin: str, *, plain: str, secure: str) -> None:
    fix = f"set an address such as {secure}://test.deribit.com/"
    if not isinstance(url, str):
        raise Misconfigured(f"{origin}: {_shape_of(url)} is no address; {fix}")
    parts = _split(url)
    if parts.scheme not in {plain, secure} or not parts.hostname:
        raise Misconfigured(
            f"{origin}: an address with scheme {parts.scheme[:10]!r}, wanted is {secure}; {fix}"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise Misconfigured(f"{origin}: user, password, query or fragment in it; {fix}")
    if parts.scheme == plain and not _is_loopback(parts.hostname):
        raise Misconfigured(
            f"{origin}: {plain}:// would send the key in clear to {parts.hostname}; use {secure}://"
        )


def _http_url_of(ws_url: str) -> str:
    """The HTTP address of the exchange a WebSocket address belongs to: `/ws/x` serves as `/x`."""
    parts = _split(ws_url)
    scheme = "https" if parts.scheme == "wss" else "http"
    path = parts.path.removeprefix("/ws") or "/api/v2"
    return parts._replace(scheme=scheme, path=path).geturl()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises, when it is no port number
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - most starts have no such file, and none is to pay for it

    try:
        layer = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Misconfigured(
            f"{path}: cannot be read: {error.strerror or error}; name a readable file by --config,"
            " or leave --config out"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # A decoding error quotes bytes, which might be a secret's.
        text = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise Misconfigured(f"{path}: is not TOML: {text}; mend the file") from None
    for name in layer:
        if name not in _field_names():
            raise Misconfigured(
                f"{path}: unknown key {name!r}; {_suggestion(name, _field_names())}"
            )
    return layer


def _credential_files(environ: Mapping[str, str]) -> dict[str, Path]:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        return {}
    paths = {name: Path(directory) / name for name in _CREDENTIALS}
    return {name: path for name, path in paths.items() if path.exists()}


def _read_credential(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_CREDENTIAL_LENGTH_MAX + 1)
        text = data.decode("ascii").strip()
    except OSError as error:
        raise Misconfigured(
            f"credential {path}: cannot be read: {error.strerror or error}; see the unit's"
            " LoadCredential="
        ) from error
    except UnicodeDecodeError:
        raise Misconfigured(
            f"credential {path}: not plain ASCII text; store the key as Deribit shows it"
        ) from None
    if not text or len(data) > _CREDENTIAL_LENGTH_MAX or not text.isprintable():
        raise Misconfigured(
            f"credential {path}: {len(data)} bytes that are no key; store the key as Deribit shows"
            " it, on one line"
        )
    return text


def _warn_of_unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = [_variable(name) for name in _field_names()]
    return [
        f"{name} is set and not known; {_suggestion(name, known)}"
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX)
        and name not in known
        and not name.startswith(_FOREIGN_PREFIXES)
    ]


def _warn_of_readable_secrets(path: Path, layer: Mapping[str, Any]) -> list[str]:
    if not _SECRETS & layer.keys() or not path.stat().st_mode & 0o077:
        return []
    return [f"{path} holds a secret and others may read it; chmod 600 {path}"]


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _field_names() -> list[str]:
    return [name for name in Settings.model_fields if name != "warnings"]


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _translated(
    error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]
) -> Misconfigured:
    lines = []
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(found["loc"][0])
        fix = Settings.model_fields[name].description
        shape = "a secret" if name in _SECRETS else _shape_of(values.get(name))
        lines.append(f"{origins.get(name, _variable(name))}: {shape} will not do; set {fix}")
    return Misconfigured("; ".join(lines))


def _shape_of(value: object) -> str:
    """A value as a message may show it: short ones themselves, long ones by their length."""
    if isinstance(value, str):
        if len(value) <= _SHOWN_LENGTH_MAX and value.isprintable():
            return repr(value)
        return f"text of {len(value)} characters"
    if isinstance(value, bool | int | float):
        return repr(value)[:_SHOWN_LENGTH_MAX]
    return f"a value of type {type(value).__name__}"

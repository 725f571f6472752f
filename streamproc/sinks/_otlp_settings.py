"""Where spans are sent and how: options, else what the environment says, else the defaults of the OTLP exporter.

    endpoint     traces_endpoint, endpoint + v1/traces, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
                 OTEL_EXPORTER_OTLP_ENDPOINT + v1/traces, http://localhost:4318/v1/traces
    the others   the option, OTEL_EXPORTER_OTLP_TRACES_NAME, OTEL_EXPORTER_OTLP_NAME, the default

Headers of an option are added to those of the environment. A variable that is empty is not set. The variables of the
protocol count only where the endpoint is theirs. No error shows a value that may be secret.

Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
"""

import re
from collections.abc import Mapping
from os import PathLike
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

from msgspec import Struct
from yarl import URL

from streamproc.errors import ConfigError
from streamproc.secret import Secret, SecretUrl

__all__ = ["Compression", "Options", "Settings", "settings_of"]

Compression: TypeAlias = Literal["gzip", "none"]

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_DEFAULT: Final = "http://localhost:4318"
_TIMEOUT_S: Final = 10.0
_SERVICE: Final = "streamproc"
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_NOT_IN_HEADERS: Final = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f\\ud800-\\udfff]")
_OWN_HEADERS: Final = frozenset(
    {"content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection"}
)


class Options(Struct, frozen=True, kw_only=True):
    """What was given; None: nothing."""

    endpoint: str | Secret | None = None
    traces_endpoint: str | Secret | None = None
    headers: Mapping[str, str | Secret] | None = None
    timeout_s: float | None = None
    compression: Compression | None = None
    ca_file: str | PathLike[str] | None = None
    client_cert_file: str | PathLike[str] | None = None
    client_key_file: str | PathLike[str] | None = None
    service_name: str | None = None
    resource: Mapping[str, str] | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """What takes effect."""

    url: SecretUrl
    headers: Mapping[str, Secret]
    timeout_s: float
    is_compressed: bool
    ca_file: str | PathLike[str] | None
    client_cert_file: str | PathLike[str] | None
    client_key_file: str | PathLike[str] | None
    resource: Mapping[str, str]


def settings_of(options: Options, env: Mapping[str, str]) -> Settings:
    """Put options and environment together.

    Raises:
        ConfigError: a value cannot work; the text names the option or the variable.
    """
    url, headers = _url(options, env), _headers(options, env)
    if url.user is not None and "authorization" in headers:
        raise ConfigError("headers: authorization is there already, as the user name in the URL")
    settings = Settings(
        url=SecretUrl(str(url)),
        headers=headers,
        timeout_s=_timeout_s(options, env),
        is_compressed=_is_compressed(options, env),
        ca_file=options.ca_file or _variable(env, "CERTIFICATE")[1],
        client_cert_file=options.client_cert_file or _variable(env, "CLIENT_CERTIFICATE")[1],
        client_key_file=options.client_key_file or _variable(env, "CLIENT_KEY")[1],
        resource=_resource(options, env),
    )
    if settings.client_key_file is not None and settings.client_cert_file is None:
        raise ConfigError("client_key_file: there is no client_cert_file that it is the key of")
    return settings


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str | None]:
    """The variable for traces, else the one for all signals: its name and value."""
    for full in (f"{_PREFIX}TRACES_{name}", f"{_PREFIX}{name}"):
        if value := env.get(full, "").strip():
            return full, value
    return f"{_PREFIX}{name}", None


def _url(options: Options, env: Mapping[str, str]) -> URL:
    if options.traces_endpoint is not None:
        return _checked_url("traces_endpoint", options.traces_endpoint)
    if options.endpoint is not None:
        return _with_path(_checked_url("endpoint", options.endpoint))
    protocol_name, protocol = _variable(env, "PROTOCOL")
    if protocol is not None and protocol != "http/protobuf":
        raise ConfigError(f'{protocol_name}: expected "http/protobuf", the one protocol that there is here')
    name, value = _variable(env, "ENDPOINT")
    if value is None:
        return _with_path(URL(_DEFAULT))
    url = _checked_url(name, value)
    return url if name.startswith(f"{_PREFIX}TRACES_") else _with_path(url)


def _checked_url(name: str, value: str | Secret) -> URL:
    try:
        url = URL(value.reveal() if isinstance(value, Secret) else value)
        (url.raw_host or "").encode("idna")  # as whoever looks it up does: an empty label, or a long one, is an error
    except ValueError:
        raise ConfigError(f"{name}: is no URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"{name}: expected http:// or https:// and a host")
    return url.with_fragment(None)


def _with_path(base: URL) -> URL:
    return (base / "v1" / "traces").with_query(base.query)


def _headers(options: Options, env: Mapping[str, str]) -> dict[str, Secret]:
    name, value = _variable(env, "HEADERS")
    found = {key.lower(): Secret(text) for key, text in _pairs(name, value or "").items()}
    for key, text in (options.headers or {}).items():
        found[key.lower()] = text if isinstance(text, Secret) else Secret(text)
    for key, secret in found.items():
        if _HEADER_NAME.fullmatch(key) is None:
            raise ConfigError("headers: one of the names is no name of a header")
        if key in _OWN_HEADERS:
            raise ConfigError(f"headers: {key} is set by the sink")
        if _NOT_IN_HEADERS.search(secret.reveal()):
            raise ConfigError(f"headers: the value of {key} holds what no header can")
    return found


def _timeout_s(options: Options, env: Mapping[str, str]) -> float:
    if options.timeout_s is not None:
        if options.timeout_s <= 0:
            raise ConfigError(f"timeout_s is {options.timeout_s:g}; expected more than 0 seconds")
        return options.timeout_s
    name, value = _variable(env, "TIMEOUT")
    if value is None:
        return _TIMEOUT_S
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ConfigError(f"{name}: expected a whole number of milliseconds, more than 0")
    return int(value) / 1000


def _is_compressed(options: Options, env: Mapping[str, str]) -> bool:
    name, value = ("compression", options.compression)
    if value is None:
        name, given = _variable(env, "COMPRESSION")
        if given not in (None, "gzip", "none"):
            raise ConfigError(f'{name}: expected "gzip" or "none"')
        return given == "gzip"
    if value not in ("gzip", "none"):
        raise ConfigError(f'{name} is {value!r}; expected "gzip" or "none"')
    return value == "gzip"


def _resource(options: Options, env: Mapping[str, str]) -> dict[str, str]:
    resource = {"service.name": _SERVICE}
    resource |= _pairs("OTEL_RESOURCE_ATTRIBUTES", env.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if name := env.get("OTEL_SERVICE_NAME", "").strip():
        resource["service.name"] = name
    resource |= options.resource or {}
    if options.service_name is not None:
        resource["service.name"] = options.service_name
    return resource


def _pairs(name: str, text: str) -> dict[str, str]:
    """`key=value,key=value` with percent-encoded values, as W3C Baggage writes it, without properties."""
    found: dict[str, str] = {}
    for number, part in enumerate(text.split(","), 1):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip():
            raise ConfigError(f"{name}: number {number} is not of the form key=value")
        found[unquote(key.strip())] = unquote(value.strip())
    return found

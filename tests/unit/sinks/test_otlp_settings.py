"""Where spans go: options, the variables of OTLP exporters, and the defaults."""

from collections.abc import Mapping
from typing import Any

import pytest

from streamproc.errors import ConfigError
from streamproc.secret import Secret
from streamproc.sinks._otlp_settings import Options, Settings, settings_of

P = "OTEL_EXPORTER_OTLP_"


def settings(env: Mapping[str, str] | None = None, **options: Any) -> Settings:
    return settings_of(Options(**options), env or {})


def test_the_defaults() -> None:
    """Those of every exporter."""
    found = settings()

    assert found.url.reveal() == "http://localhost:4318/v1/traces"
    assert (found.timeout_s, found.is_compressed, found.headers) == (10.0, False, {})
    assert (found.ca_file, found.client_cert_file, found.client_key_file) == (None, None, None)
    assert found.resource == {"service.name": "streamproc"}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp", "https://c/otlp/v1/traces"),
        ("https://c/otlp/", "https://c/otlp/v1/traces"),
        ("https://c/a%2Fb?key=1", "https://c/a%2Fb/v1/traces?key=1"),
        ("https://c/v1/traces", "https://c/v1/traces/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_a_base_gets_its_path(base: str, url: str) -> None:
    """As the specification says, also where somebody gave it already."""
    assert settings(endpoint=base).url.reveal() == url
    assert settings({f"{P}ENDPOINT": base}).url.reveal() == url


@pytest.mark.parametrize("url", ["http://c:4318/", "https://c/v1/traces", "https://c/x/?key=1"])
def test_the_endpoint_of_traces_is_used_as_it_is(url: str) -> None:
    assert settings(traces_endpoint=url).url.reveal() == url
    assert settings({f"{P}TRACES_ENDPOINT": url}).url.reveal() == url


def test_an_endpoint_without_a_path_is_the_root() -> None:
    assert settings(traces_endpoint="http://c:4318").url.reveal() in ("http://c:4318", "http://c:4318/")


def test_which_endpoint_wins() -> None:
    """An option before any variable, traces before all signals; an empty variable is not set."""
    env = {f"{P}ENDPOINT": "http://all", f"{P}TRACES_ENDPOINT": "http://traces/"}

    assert settings(env).url.reveal() == "http://traces/"
    assert settings(env, endpoint="http://given").url.reveal() == "http://given/v1/traces"
    assert settings(env, endpoint="http://given", traces_endpoint="http://as/is").url.reveal() == "http://as/is"
    assert settings({**env, f"{P}TRACES_ENDPOINT": " "}).url.reveal() == "http://all/v1/traces"


def test_the_protocol_of_the_environment() -> None:
    """It is about the endpoint of the environment; one that was given is OTLP over HTTP."""
    grpc = {f"{P}PROTOCOL": "grpc"}

    assert settings({**grpc, f"{P}TRACES_PROTOCOL": "http/protobuf"}).url.reveal() == "http://localhost:4318/v1/traces"
    assert settings(grpc, endpoint="http://c").url.reveal() == "http://c/v1/traces"
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL: expected \"http/protobuf\""):
        settings(grpc)
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        settings({f"{P}PROTOCOL": "http/protobuf", f"{P}TRACES_PROTOCOL": "http/json"})


def test_headers() -> None:
    """Percent-encoded; those for traces in place of those for all, those of an option in addition."""
    env = {f"{P}HEADERS": "api-key=secret%20one, X-Tenant = a=b ,,"}
    of_traces = {**env, f"{P}TRACES_HEADERS": "Authorization=Bearer%20two"}

    assert revealed(settings(env)) == {"api-key": "secret one", "x-tenant": "a=b"}
    assert revealed(settings(of_traces)) == {"authorization": "Bearer two"}
    assert revealed(settings(env, headers={"API-Key": Secret("three")})) == {"api-key": "three", "x-tenant": "a=b"}
    assert "secret" not in repr(settings(env, endpoint="http://me:secret@c/?key=secret"))


def revealed(found: Settings) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in found.headers.items()}


def test_time_and_compression() -> None:
    """A time-out in milliseconds in the environment, in seconds as an option."""
    env = {f"{P}TIMEOUT": "1500", f"{P}COMPRESSION": "gzip"}

    assert (settings(env).timeout_s, settings(env).is_compressed) == (1.5, True)
    assert settings({**env, f"{P}TRACES_TIMEOUT": "10", f"{P}TRACES_COMPRESSION": "none"}).timeout_s == 0.01
    assert (settings(env, timeout_s=3.0).timeout_s, settings(env, compression="none").is_compressed) == (3.0, False)
    assert settings(compression="gzip").is_compressed


def test_certificates() -> None:
    env = {f"{P}CERTIFICATE": "ca.pem", f"{P}CLIENT_CERTIFICATE": "c.pem", f"{P}TRACES_CLIENT_KEY": "k.pem"}
    found = settings(env, ca_file="other.pem")

    assert (found.ca_file, found.client_cert_file, found.client_key_file) == ("other.pem", "c.pem", "k.pem")
    assert settings(env).ca_file == "ca.pem"


def test_the_resource() -> None:
    """The name of the service: option, its own variable, the attributes, the default."""
    env = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=three,deployment.environment.name=a%2Cb"}
    named = {**env, "OTEL_SERVICE_NAME": "two"}

    assert settings(env).resource == {"service.name": "three", "deployment.environment.name": "a,b"}
    assert settings(named).resource["service.name"] == "two"
    assert settings(named, service_name="one", resource={"x": "y"}).resource == {
        "service.name": "one",
        "deployment.environment.name": "a,b",
        "x": "y",
    }


@pytest.mark.parametrize(
    ("env", "options", "text"),
    [
        ({}, {"endpoint": "localhost:4318"}, "endpoint: expected http:// or https:// and a host"),
        ({}, {"endpoint": "http://"}, "endpoint: expected http"),
        ({}, {"endpoint": "http://[c"}, "endpoint: is no URL"),
        ({}, {"endpoint": "http://secret..c"}, "endpoint: is no URL"),
        ({}, {"endpoint": f"http://{'c' * 64}"}, "endpoint: is no URL"),
        ({}, {"traces_endpoint": Secret("ftp://user:secret@c")}, "traces_endpoint: expected http"),
        ({f"{P}ENDPOINT": "collector"}, {}, f"{P}ENDPOINT: expected http"),
        ({f"{P}TIMEOUT": "10s"}, {}, f"{P}TIMEOUT: expected a whole number of milliseconds"),
        ({f"{P}TIMEOUT": "0"}, {}, f"{P}TIMEOUT: expected a whole number of milliseconds"),
        ({}, {"timeout_s": 0}, "timeout_s is 0; expected more than 0 seconds"),
        ({f"{P}COMPRESSION": "zstd"}, {}, f'{P}COMPRESSION: expected "gzip" or "none"'),
        ({}, {"compression": "zstd"}, 'compression is \'zstd\'; expected "gzip" or "none"'),
        ({f"{P}HEADERS": "api-key=1,secret"}, {}, f"{P}HEADERS: number 2 is not of the form key=value"),
        ({f"{P}HEADERS": "=secret"}, {}, f"{P}HEADERS: number 1 is not of the form key=value"),
        ({f"{P}HEADERS": "a b=secret"}, {}, "headers: one of the names is no name of a header"),
        ({f"{P}HEADERS": "a=secret%0Ab"}, {}, "headers: the value of a holds what no header can"),
        ({}, {"headers": {"Content-Encoding": "br"}}, "headers: content-encoding is set by the sink"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "secret"}, {}, "OTEL_RESOURCE_ATTRIBUTES: number 1 is not of the form"),
        (
            {},
            {"endpoint": "http://me:secret@c", "headers": {"Authorization": "secret"}},
            "headers: authorization is there",
        ),
        ({}, {"client_key_file": "k.pem"}, "client_key_file: there is no client_cert_file"),
    ],
)
def test_what_cannot_work(env: dict[str, str], options: dict[str, Any], text: str) -> None:
    """It is named, and nothing is shown of it that may be secret."""
    with pytest.raises(ConfigError) as raised:
        settings(env, **options)

    assert str(raised.value).startswith(text)
    assert "secret" not in str(raised.value)

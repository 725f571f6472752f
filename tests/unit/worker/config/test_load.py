"""From a file to the structs of a config."""

import os
import pickle
from pathlib import Path

import pytest

from streamproc import DeliveryPolicy, Limits, Retry
from streamproc.errors import ConfigError
from streamproc.secret import Secret, SecretUrl
from streamproc.worker.config import (
    AdminConfig,
    Fault,
    IngestConfig,
    InvalidConfig,
    LogConfig,
    ProxyConfig,
    load_config,
    read_document,
)
from streamproc.worker.config.sink_kinds import ConsoleSinkConfig, JsonlSinkConfig
from streamproc.worker.config.source_kinds import FileSourceConfig, HttpSourceConfig, ResyncConfig
from streamproc.worker.config.store_kinds import MemoryStoreConfig, SqliteStoreConfig
from tests.unit.distribution import install

WHOLE = """
[store]
path = "${DIR:-.}/runs.db"
max_bytes = 1000000

[[sources]]
kind = "http"
name = "live"
dialect = "assistants"
url = "https://user:pw@api.example.com/v1/runs?x=1"
method = "POST"
headers = { Authorization = "Bearer ${KEY}" }
json = { stream = true, metadata = { at = "$${now}" } }
idle_timeout_s = 30

[sources.resync]
base_url = "https://api.example.com/v1"
params = { "api-version" = "2026" }

[[sources]]
kind = "file"
path = "a.sse"
speed = 5

[[sinks]]
kind = "jsonl"
path = "a.jsonl"
fsync = "interval"
policy = { deliver = "final", required = false, retry = { base_s = 1 } }

[[sinks]]
kind = "console"
name = "screen"

[ingest]
port = "${PORT}"
tokens = ["${KEY}", "b"]

[proxy]
upstream = "https://api.example.com/v1"
allow_public = "${PUBLIC:-true}"
connect_timeout_s = "${WAIT:-2.5}"

[admin]
token = "${KEY}"

[limits]
max_open_runs = 5
drain_s = 0

[log]
format = "json"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "streamproc.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_config(tmp_path: Path) -> None:
    """Each section becomes its struct; whole numbers are fine for fractions; variables become what is expected."""
    config = load_config(write(tmp_path, WHOLE), {"KEY": "kT3vQm9sXw2LbR8n", "PORT": " 9000 "})

    assert config.store == SqliteStoreConfig(path="./runs.db", max_bytes=1000000)
    assert config.sources == (
        HttpSourceConfig(
            name="live",
            dialect="assistants",
            url=SecretUrl("https://user:pw@api.example.com/v1/runs?x=1"),
            method="POST",
            headers={"Authorization": Secret("Bearer kT3vQm9sXw2LbR8n")},
            json={"stream": True, "metadata": {"at": "${now}"}},
            idle_timeout_s=30.0,
            resync=ResyncConfig(base_url=SecretUrl("https://api.example.com/v1"), params={"api-version": "2026"}),
        ),
        FileSourceConfig(path="a.sse", speed=5.0),
    )
    assert config.sinks == (
        JsonlSinkConfig(
            path="a.jsonl",
            fsync="interval",
            policy=DeliveryPolicy(deliver="final", required=False, retry=Retry(base_s=1.0)),
        ),
        ConsoleSinkConfig(name="screen"),
    )
    assert config.ingest == IngestConfig(port=9000, tokens=(Secret("kT3vQm9sXw2LbR8n"), Secret("b")))
    assert config.proxy == ProxyConfig(
        upstream=SecretUrl("https://api.example.com/v1"), allow_public=True, connect_timeout_s=2.5
    )
    assert config.admin == AdminConfig(token=Secret("kT3vQm9sXw2LbR8n"))
    assert config.limits.core() == Limits(max_open_runs=5)
    assert config.limits.drain_s == 0.0
    assert config.log == LogConfig(format="json")


def test_what_is_not_there_is_not_used(tmp_path: Path) -> None:
    """A server without a section does not exist; limits and logs have their defaults."""
    config = load_config(write(tmp_path, '[store]\nkind = "memory"\n[ingest]\n'), {})

    assert config.store == MemoryStoreConfig()
    assert config.ingest == IngestConfig()
    assert (config.proxy, config.admin, config.sources, config.sinks) == (None, None, (), ())
    assert config.limits.core() == Limits()


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    """The whole config can be logged."""
    shown = repr(load_config(write(tmp_path, WHOLE), {"KEY": "kT3vQm9sXw2LbR8n", "PORT": "1"}))

    assert "kT3vQm9sXw2LbR8n" not in shown
    assert "pw" not in shown
    assert "https://***@api.example.com/v1/runs?***" in shown


def test_the_environment_of_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run` and `check` call it."""
    monkeypatch.setenv("CONFIG_TEST_PORT", "8123")
    config = load_config(write(tmp_path, '[store]\nkind = "memory"\n[ingest]\nport = "${CONFIG_TEST_PORT}"\n'))

    assert config.ingest == IngestConfig(port=8123)


def test_a_file_of_another_system(tmp_path: Path) -> None:
    """Its byte order mark and line ends change nothing, and lines are counted."""
    path = tmp_path / "streamproc.toml"
    path.write_bytes('\ufeff[store]\r\nkind = "memory"\r\n[ingest]\r\nprot = 1\r\n'.encode())
    with pytest.raises(InvalidConfig, match=r":4: ingest\.prot: unknown key"):
        load_config(path, {})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'[log]\nlevel = "\xff"\n', ":2: not UTF-8; save the file in that encoding"),
        (b"a = " + b"9" * 5000, ":1: a number in it has more digits than can be read"),
        (b"a = " + b"[" * 50_000, ":1: more lists and tables in one another than can be read"),
        (b"[a]\n\nb = ", ":3: at the end: expected a value; a string needs quotes, a boolean is true or false"),
        (b"a = {\n", ":1: "),
    ],
)
def test_a_file_that_is_no_toml(data: bytes, told: str, tmp_path: Path) -> None:
    """One line, whatever is in it."""
    path = tmp_path / "streamproc.toml"
    path.write_bytes(data)
    with pytest.raises(InvalidConfig) as caught:
        load_config(path, {})

    assert str(caught.value).startswith(f"{path}{told}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Each case says what to do, as far as there is something."""
    absent, folder, large = tmp_path / "absent.toml", tmp_path, tmp_path / "large.toml"
    large.write_bytes(b"#" * (2**20 + 1))

    with pytest.raises(ConfigError, match=r"absent.toml: cannot be read: .*`streamproc init` prints one"):
        load_config(absent)
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        load_config(folder)
    with pytest.raises(ConfigError, match="expected at most 1048576 bytes, more came; is it a config file"):
        load_config(large)
    with pytest.raises(ConfigError, match="no file can have this name"):
        load_config("a\0b")


def test_variables_that_are_not_set_are_told_with_all_else(tmp_path: Path) -> None:
    """And only once: what they would have been is not judged."""
    text = '[store]\npath = "${A}"\n[[sinks]]\nkind = "${B}"\n[admin]\nport = "${C}"\nhots = 1\n'
    with pytest.raises(InvalidConfig) as caught:
        load_config(write(tmp_path, text), {})

    assert [(fault.line, fault.text.split(";")[0]) for fault in caught.value.faults] == [
        (2, "the variable A is not set"),
        (4, "the variable B is not set"),
        (6, "the variable C is not set"),
        (7, "unknown key"),
    ]


def test_a_whole_number_that_no_fraction_can_hold(tmp_path: Path) -> None:
    """TOML has whole numbers of any size."""
    with pytest.raises(InvalidConfig, match=r"expected a number of 0 or more, got a number$"):
        load_config(write(tmp_path, f"[ingest]\n[limits]\ndrain_s = 1{'0' * 400}\n"), {})


def test_a_document_says_where_a_value_is_from(tmp_path: Path) -> None:
    """Its line, and the variables in it."""
    document = read_document(write(tmp_path, '[store]\npath = "${DIR:-.}/${NAME}"\n'), {"NAME": "x"})

    assert document.data == {"store": {"path": "./x"}}
    assert document.variables == {("store", "path"): ("DIR", "NAME")}
    assert document.lines["store", "path"] == 2


SINK = """
import enum
from datetime import date
from typing import Annotated
from msgspec import Meta, Struct
from streamproc.errors import ConfigError
from streamproc.plugins import PlugIn, SinkConfig
from streamproc.secret import Secret
from streamproc.sinks import MemorySink

class Paper(enum.Enum):
    white = "white"

class Chapter(Struct, forbid_unknown_fields=True):
    title: str
    key: Secret | None = None

class Config(SinkConfig, tag="diary"):
    since: date = date(2026, 1, 1)
    mixed: int | str = 1
    colour: Annotated[str, Meta(pattern="^#")] = "#fff"
    pages: list[int] = []
    chapters: list[Chapter] = []
    paper: Paper = Paper.white

def make(options):
    if options.mixed == 13:
        raise ConfigError("mixed is 13; expected another number")
    if options.mixed == 14:
        raise RuntimeError("kT3vQm9sXw2LbR8n")
    return MemorySink()

PLUGIN = PlugIn(Config, make)
"""


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for configs, with a kind of sink installed that has options of unusual types."""
    install(monkeypatch, tmp_path / "site", "diary_plugin", {"sinks": {"diary": "diary_plugin:PLUGIN"}}, module=SINK)
    return tmp_path


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("since = 2026-01-31", None),
        ('mixed = "x"', None),
        ("pages = [1, 2]", None),
        ("since = 5", "since: expected something else, got 5"),
        ("mixed = 1.5", "mixed: expected something else, got 1.5"),
        ('colour = "red"', 'colour: expected a string, got "red"'),
        ("pages = [1, true]", "pages[1]: expected a whole number, got true"),
        ('paper = "white"', None),
        ('chapters = [{ title = "x", key = "${KEY}" }]', None),
        ('paper = "blue"', 'paper: expected something else, got "blue"'),
        ("chapters = [{ titel = 1 }]", 'chapters[0].titel: unknown key; did you mean "title"?'),
        ("chapters = 5", "chapters: expected a list of tables, got 5; write it in [ ]"),
        ("mixed = 13", "mixed: expected another number, got 13"),
        ("mixed = 14", "cannot be made, it raised RuntimeError; ask whoever made that plug-in"),
    ],
)
def test_options_of_a_plug_in(option: str, told: str | None, diary: Path) -> None:
    """They are decoded and refused like those that are built in."""
    path = write(diary, f'[ingest]\n[[sinks]]\nkind = "diary"\n{option}\n')
    if told is None:
        assert load_config(path, {"KEY": "kT3vQm9sXw2LbR8n"}).sinks
        return
    with pytest.raises(InvalidConfig) as caught:
        load_config(path, {})

    fault = caught.value.faults[0]
    assert str(fault).split("sinks[0]")[1].lstrip(".: ") == told


def test_a_plug_in_that_cannot_be_imported_is_a_mistake_in_the_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the line that names it; so is one that two distributions bring."""
    path = write(tmp_path, '[ingest]\n[[sinks]]\nkind = "broken"\n')
    install(
        monkeypatch, tmp_path / "one", "broken_one", {"sinks": {"broken": "broken_one:X"}}, module="import nowhere_x"
    )
    with pytest.raises(InvalidConfig, match=r":3: sinks\[0\]\.kind: plug-in 'broken' .* no module 'nowhere_x'"):
        load_config(path, {})

    install(monkeypatch, tmp_path / "two", "broken_two", {"sinks": {"broken": "broken_two:X"}})
    with pytest.raises(InvalidConfig, match=r"'broken' is brought by broken_.* and by broken_.*; remove one"):
        load_config(path, {})


def test_mistakes_survive_pickling() -> None:
    """Like every error of streamproc."""
    error = InvalidConfig([Fault("b.toml", 2, ("log", "level"), "odd"), Fault("b.toml", 1, (), "worse")])

    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "b.toml:1: worse\nb.toml:2: log.level: odd"


def test_the_path_may_be_any_kind_of_path(tmp_path: Path) -> None:
    """It is shown as it was given."""
    path = write(tmp_path, "[log]\nlevl = 1\n")
    with pytest.raises(InvalidConfig) as caught:
        load_config(os.fspath(path), {})

    assert caught.value.faults[0].file == str(path)

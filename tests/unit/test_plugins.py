"""Plug-ins of other distributions, found by their entry points."""

import sys
from pathlib import Path

import pytest

from streamproc import StreamProcessor
from streamproc.core import dialect
from streamproc.core.dialect import dialect_factory
from streamproc.dialects import AssistantsDialect
from streamproc.plugins import Installed, PlugIn, PlugInError, installed, load_plugin, own_dialects, register_dialects
from tests.streams import run, sse
from tests.unit.distribution import install

SINK = """
from streamproc.plugins import PlugIn, SinkConfig
from streamproc.sinks import MemorySink

class Config(SinkConfig, tag="notes", frozen=True, kw_only=True, forbid_unknown_fields=True):
    maximum: int = 10

class Other(SinkConfig, tag="other", frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass

PLUGIN = PlugIn(Config, lambda options: MemorySink(options.maximum))
MISNAMED = PlugIn(Other, lambda options: MemorySink())
FOREIGN = PlugIn(int, lambda options: MemorySink())
NOTHING = 3
"""


def only(name: str) -> Installed:
    (plugin,) = (one for one in installed() if one.name == name)
    return plugin


def test_what_is_installed_is_told_without_importing_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sorted by group and name, each with its distribution."""
    entries = {"stores": {"shelf": "corp_plugins:gone"}, "sinks": {"z": "nowhere:x", "a": "nowhere:y"}}
    install(monkeypatch, tmp_path, "corp_plugins", entries, module="raise RuntimeError('imported')")
    found = [one for one in installed() if one.distribution == "corp_plugins"]

    assert [(one.group, one.name, one.version, one.value) for one in found] == [
        ("sinks", "a", "1.2.3", "nowhere:y"),
        ("sinks", "z", "1.2.3", "nowhere:x"),
        ("stores", "shelf", "1.2.3", "corp_plugins:gone"),
    ]
    assert {one.group for one in installed("sinks")} == {"sinks"}


def test_a_plug_in_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It makes a sink of its options."""
    install(monkeypatch, tmp_path, "notes_one", {"sinks": {"notes": "notes_one:PLUGIN"}}, module=SINK)
    plugin = load_plugin(only("notes"))

    assert isinstance(plugin, PlugIn)
    assert plugin.make(plugin.options(maximum=3))._maximum == 3


@pytest.mark.parametrize(
    ("value", "module", "reason"),
    [
        (
            "notes_two:PLUGIN",
            "import no_such_module",
            "importing it raised ModuleNotFoundError: no module 'no_such_module'",
        ),
        ("notes_two:PLUGIN", "raise RuntimeError('kT3vQm9sXw2LbR8nYc5e')", "importing it raised RuntimeError"),
        ("notes_two:PLUGIN", "x = (", "importing it raised SyntaxError"),
        ("notes_two:ABSENT", SINK, "importing it raised AttributeError"),
        ("notes_two:NOTHING", SINK, "expected a streamproc.plugins.PlugIn"),
        ("notes_two:FOREIGN", SINK, "its options are no subclass of SinkConfig"),
        ("notes_two:MISNAMED", SINK, 'its options need tag="notes", the name of its entry point'),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_told_by_name(
    value: str, module: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With its distribution, and without the text of a foreign exception."""
    install(monkeypatch, tmp_path, "notes_two", {"sinks": {"notes": value}}, module=module)
    monkeypatch.delitem(sys.modules, "notes_two", raising=False)
    with pytest.raises(PlugInError) as caught:
        load_plugin(only("notes"))

    assert str(caught.value) == f"plug-in 'notes' ({value}, of notes_two 1.2.3): {reason}"


def test_a_plug_in_that_was_removed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded is what was found."""
    gone = Installed(group="sinks", name="notes", distribution="notes_three", version="1", value="notes_three:PLUGIN")
    with pytest.raises(PlugInError, match="is not installed any more"):
        load_plugin(gone)


DIALECT = """
from streamproc.dialects import AssistantsDialect

class Corp(AssistantsDialect):
    pass

NOTHING = 3
"""


def test_dialects_are_known_by_name_and_imported_when_a_stream_needs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A name that streamproc has itself keeps its meaning."""
    entries = {"dialects": {"corp_one": "corp_dialects:Corp", "corp_two": "corp_dialects:NOTHING", "assistants": "x:y"}}
    install(monkeypatch, tmp_path, "corp_dialects", entries, module=DIALECT)
    own = own_dialects()
    monkeypatch.setattr(dialect, "_FACTORIES", dict(dialect._FACTORIES))
    register_dialects()

    assert own_dialects() == own
    assert dialect_factory("assistants") is AssistantsDialect
    proc = StreamProcessor(dialect="corp_one")
    assert [change.event for change in proc.feed(sse(run("created")))] == ["thread.run.created"]
    with pytest.raises(PlugInError, match="expected something that makes a dialect when called"):
        StreamProcessor(dialect="corp_two")

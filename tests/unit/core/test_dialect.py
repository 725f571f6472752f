"""The registry of dialects, and what the fast path learns from one."""

from collections.abc import Sequence

import pytest

from streamproc.core import dialect as module
from streamproc.core.dialect import Dialect, dialect_factory, dialect_names, hot_decoders, register_dialect
from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA, Event
from streamproc.core.fragments import FRAGMENT_DECODERS
from streamproc.core.sse import Frame
from streamproc.dialects import AssistantsDialect
from streamproc.errors import ConfigError


class Silent:
    """A dialect that hears nothing."""

    cursor: str | None = None

    def decode(self, frame: Frame) -> Sequence[Event]:
        return ()

    def finish(self) -> Sequence[Event]:
        return ()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the registry, thrown away after the test."""
    monkeypatch.setattr(module, "_FACTORIES", dict(module._FACTORIES))
    monkeypatch.setattr(module, "_MATCHES", dict(module._MATCHES))


def test_assistants_is_installed() -> None:
    """Importing the package of dialects is enough."""
    assert "assistants" in dialect_names()
    assert dialect_factory("assistants") is AssistantsDialect


@pytest.mark.usefixtures("registry")
def test_registered_dialect_is_known() -> None:
    """It is found by its name and made anew for each stream."""
    before = dialect_names()
    register_dialect("silent", Silent)
    first, second = dialect_factory("silent")(), dialect_factory("silent")()

    assert dialect_names() == (*before, "silent")
    assert isinstance(first, Silent)
    assert first is not second


@pytest.mark.usefixtures("registry")
def test_registering_a_name_again_replaces() -> None:
    """A program may bring its own version of a dialect."""
    register_dialect("assistants", Silent)

    assert dialect_factory("assistants") is Silent
    assert len(dialect_names()) == len(set(dialect_names()))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", ["", "Assistants", "nope"])
def test_unknown_dialect_is_a_config_error(name: str) -> None:
    """The text names what was asked for and what there is; no cause hangs on it."""
    register_dialect("silent", Silent)
    with pytest.raises(ConfigError) as caught:
        dialect_factory(name)

    assert str(caught.value) == f"no dialect {name!r}; known: {', '.join(dialect_names())}"
    assert caught.value.__suppress_context__


def test_hot_decoders_by_the_name_on_the_wire() -> None:
    """The names are bytes, as a parser has them, and lead to the canonical name and its decoder."""
    assert hot_decoders(AssistantsDialect()) == {
        STEP_DELTA.encode(): FRAGMENT_DECODERS[STEP_DELTA],
        MESSAGE_DELTA.encode(): FRAGMENT_DECODERS[MESSAGE_DELTA],
    }


def test_dialect_without_fragments_has_no_hot_decoders() -> None:
    """Most translate every frame."""
    silent: Dialect = Silent()

    assert hot_decoders(silent) == {}
    assert (silent.decode(Frame("message", b"x", "")), silent.finish()) == ((), ())

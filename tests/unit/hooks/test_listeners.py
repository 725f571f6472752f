"""Which hooks are overridden, and what is refused."""

from typing import Any

import pytest

from streamproc import Change
from streamproc.errors import ConfigError
from streamproc.hooks import HookDispatch, RunHooks
from streamproc.hooks.listeners import Listeners, listeners_of
from tests.unit.hooks.recorder import hooked


def overridden(hooks: RunHooks) -> dict[str, bool]:
    """Name -> whether it is async."""
    listeners = listeners_of(hooks, "log")
    found = {name: getattr(listeners, name) for name in Listeners.__struct_fields__}
    return {name: hook.is_async for name, hook in found.items() if hook is not None}


def test_each_hook_can_be_listened_to() -> None:
    """The fields of `Listeners` are the methods of `RunHooks`."""
    assert {name for name in dir(RunHooks) if name.startswith("on_")} == {*Listeners.__struct_fields__}
    assert overridden(RunHooks()) == {}


def test_overridden_in_a_class_in_a_base_of_it_and_on_an_instance() -> None:
    """Sync or async, and without `super().__init__()`."""

    class Base(RunHooks):
        async def on_change(self, change: Change, /) -> None: ...

    class Derived(Base):
        def __init__(self) -> None:
            self.on_note = 5  # no method, so nobody can have meant a hook

        def on_end(self, stream: str, run_id: str | None, /) -> None: ...

    hooks = Derived()
    hooks.on_truncated = print  # type: ignore[method-assign]

    assert overridden(hooks) == {"on_change": True, "on_end": False, "on_truncated": False}


def test_any_names_and_more_arguments_with_defaults() -> None:
    """What counts is that the call fits."""

    class Fits(RunHooks):
        def on_step_done(self, *arguments: Any) -> None: ...
        def on_text_delta(self, piece: Any, about: Any, /, extra: int = 0) -> None: ...

    assert overridden(Fits()) == {"on_step_done": False, "on_text_delta": False}


def test_a_name_that_is_no_hook() -> None:
    """Misspelled, it would never be called."""

    class Misspelled(RunHooks):
        def on_tool_call_finished(self, call: Any, change: Any) -> None: ...

    class Foreign(RunHooks):
        def on_zzz(self) -> None: ...

    with pytest.raises(ConfigError, match=r"Misspelled.on_tool_call_finished is no hook; did you mean on_tool_call_"):
        HookDispatch(Misspelled())
    with pytest.raises(ConfigError, match=r"^Foreign.on_zzz is no hook$"):
        HookDispatch(Foreign())


def test_a_hook_that_cannot_take_its_arguments() -> None:
    """Every call of it would fail."""

    class Short(RunHooks):
        def on_text_delta(self, delta: Any) -> None: ...  # type: ignore[override]

    with pytest.raises(ConfigError, match=r"Short.on_text_delta must take the arguments \(delta, change\)"):
        HookDispatch(Short())


def test_a_builtin_that_tells_no_signature() -> None:
    """It is taken at its word."""
    assert overridden(hooked(step_done=max)) == {"on_step_done": False}

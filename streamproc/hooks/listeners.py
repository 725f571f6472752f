"""Which hooks somebody overrode, found out once, and what becomes of one that raises.

What nobody overrode is None in `Listeners`, so that all work for it can be skipped by one look.
"""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeAlias, get_args

import structlog
from msgspec import Struct

from streamproc.errors import ConfigError, HookError
from streamproc.hooks.base import RunHooks
from streamproc.wording import traceback_text

__all__ = ["Hook", "Listeners", "OnHookError", "listeners_of"]

log = structlog.get_logger("streamproc")

OnHookError: TypeAlias = Literal["raise", "log", "disable"]
"""What becomes of a hook that raises: its error ends the pipeline · is logged · is logged, and it is called no more."""


class Hook:
    """One method that was overridden."""

    __slots__ = ("disabled", "function", "is_async", "name", "policy")

    def __init__(self, name: str, function: Callable[..., Any], policy: OnHookError) -> None:
        self.name = name
        self.function = function
        self.policy = policy
        self.is_async = inspect.iscoroutinefunction(function)
        self.disabled = False

    def failed(self, failure: Exception, stream: str, run_id: str | None) -> None:
        """Act on an exception of the hook.

        Raises:
            HookError: the policy says so.
        """
        if self.policy == "raise":
            raise HookError(self.name) from failure
        self.disabled = self.policy == "disable"
        log.error(
            "hook.failed",
            hook=self.name,
            stream=stream,
            run_id=run_id,
            disabled=self.disabled,
            exception=traceback_text(failure),
        )


class Listeners(Struct):
    """The hooks that were overridden, by name."""

    on_change: Hook | None = None
    on_run_status: Hook | None = None
    on_requires_action: Hook | None = None
    on_step_created: Hook | None = None
    on_step_delta: Hook | None = None
    on_step_done: Hook | None = None
    on_tool_call_created: Hook | None = None
    on_tool_call_delta: Hook | None = None
    on_tool_call_done: Hook | None = None
    on_message_created: Hook | None = None
    on_message_delta: Hook | None = None
    on_message_done: Hook | None = None
    on_text_created: Hook | None = None
    on_text_delta: Hook | None = None
    on_text_done: Hook | None = None
    on_annotation: Hook | None = None
    on_refusal_delta: Hook | None = None
    on_refusal_done: Hook | None = None
    on_image_file_done: Hook | None = None
    on_image_url_done: Hook | None = None
    on_error: Hook | None = None
    on_anomaly: Hook | None = None
    on_truncated: Hook | None = None
    on_end: Hook | None = None


_NAMES: Final = Listeners.__struct_fields__


def listeners_of(hooks: RunHooks, policy: OnHookError) -> Listeners:
    """Find out which hooks are overridden, in a class or on the instance.

    Raises:
        ConfigError: there is no such policy, or no hook of a name that begins with `on_`, or one cannot take its
            arguments.
    """
    if policy not in get_args(OnHookError):
        raise ConfigError(f"the policy for hooks that raise is {policy!r}; expected raise, log or disable")
    found: dict[str, Hook] = {}
    for name in dir(hooks):
        if not name.startswith("on_"):
            continue
        function = getattr(hooks, name)
        if not callable(function):
            continue
        if name not in _NAMES:
            near = get_close_matches(name, _NAMES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{type(hooks).__name__}.{name} is no hook{hint}")
        if getattr(function, "__func__", function) is getattr(RunHooks, name):
            continue
        arguments = [*inspect.signature(getattr(RunHooks, name)).parameters][1:]
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as failure:
            raise ConfigError(
                f"{type(hooks).__name__}.{name} must take the arguments ({', '.join(arguments)})"
            ) from failure
        except ValueError:  # a builtin that tells no signature
            pass
        found[name] = Hook(name, function, policy)
    return Listeners(**found)

"""Plug-ins that other distributions bring, and what makes a source, a sink or a store usable from a config file.

A distribution announces what it has by entry points in one of four groups, the entry's name being the `kind` (or the
`dialect`) that people write in their config:

    [project.entry-points."streamproc.sinks"]
    mqtt = "streamproc_mqtt:PLUGIN"             # a PlugIn

    [project.entry-points."streamproc.dialects"]
    corp = "streamproc_corp:CorpDialect"        # called without arguments, once a stream

    class MqttConfig(SinkConfig, tag="mqtt"):   # the options, beside `name` and `policy`
        url: SecretUrl
        topic: str = "steps"

    PLUGIN = PlugIn(MqttConfig, lambda options: MqttSink(options.url.reveal(), options.topic))

Nothing is imported before its name is used. A plug-in that cannot be imported is a `ConfigError` that names it.
"""

from collections.abc import Awaitable, Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from streamproc.core.dialect import Dialect, dialect_factory, dialect_names, register_dialect
from streamproc.delivery.policy import DeliveryPolicy
from streamproc.errors import ConfigError
from streamproc.redaction import Redaction

__all__ = [
    "GROUPS",
    "Group",
    "Installed",
    "PlugIn",
    "PlugInError",
    "SinkConfig",
    "SourceConfig",
    "StoreConfig",
    "installed",
    "load_plugin",
    "own_dialects",
    "register_dialects",
]

Group: TypeAlias = Literal["sources", "sinks", "stores", "dialects"]
GROUPS: Final[tuple[Group, ...]] = ("sources", "sinks", "stores", "dialects")

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]


class SourceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every source has; a kind of source adds its own options in a subclass whose `tag` is the kind."""

    name: Annotated[
        Name | None, Meta(description="of the stream in every change; unique; unless given, what the source is")
    ] = None
    dialect: Annotated[
        str, Meta(description='wire format of the stream; "auto" tells it from how the stream begins')
    ] = "auto"


class SinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every sink has; a kind of sink adds its own options in a subclass whose `tag` is the kind."""

    name: Annotated[
        Name | None,
        Meta(description="in logs and metrics, and of its position in the store; unique; the kind unless given"),
    ] = None
    policy: Annotated[DeliveryPolicy, Meta(description="how the sink is fed")] = DeliveryPolicy()
    redaction: Annotated[
        bool | Redaction | None,
        Meta(description="false: it gets everything · a table: in place of `[redaction]`, which it has unless given"),
    ] = None


class StoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What a kind of store derives its options from; its `tag` is the kind."""


C = TypeVar("C", bound=SourceConfig | SinkConfig | StoreConfig)


class PlugIn(Struct, Generic[C], frozen=True):
    """One kind of source, sink or store.

    Attributes:
        options: their struct, a subclass of the group's; it is read from a table of the config.
        make: makes the part from them. It does no IO and raises `ConfigError` when options cannot work together; files
            and connections are opened when the part is entered.
        probe: looks, without reading a stream, whether what the options name is there, and returns what it found in a
            few words; any `OSError` or error of ours means that it is not. For sources; others are entered.
    """

    options: type[C]
    make: Callable[[C], Any]
    probe: Callable[[C], Awaitable[str]] | None = None


class Installed(Struct, frozen=True, kw_only=True):
    """One plug-in that another distribution announces."""

    group: Group
    name: str
    distribution: str
    version: str
    value: str  # what it is imported from


class PlugInError(ConfigError):
    """A plug-in that is installed cannot be used.

    Attributes:
        plugin: which one.
        reason: why, without the text of a foreign exception.
    """

    def __init__(self, plugin: Installed, reason: str) -> None:
        super().__init__(plugin, reason)
        self.plugin = plugin
        self.reason = reason

    def __str__(self) -> str:
        at = self.plugin
        return f"plug-in {at.name!r} ({at.value}, of {at.distribution} {at.version}): {self.reason}"


_OPTIONS: Final[dict[Group, type[Struct]]] = {"sources": SourceConfig, "sinks": SinkConfig, "stores": StoreConfig}


def installed(*groups: Group) -> tuple[Installed, ...]:
    """What other distributions announce in these groups (in all unless some are named), sorted; imports nothing."""
    found = {_described(group, entry): None for group in groups or GROUPS for entry in _entries(group)}
    return tuple(sorted(found, key=lambda one: (GROUPS.index(one.group), one.name, one.distribution)))


def load_plugin(plugin: Installed) -> Any:
    """Import a plug-in: a `PlugIn`, or a dialect's factory.

    Raises:
        PlugInError: it cannot be imported, or is something else.
    """
    try:
        (entry, *_) = (
            one for one in _entries(plugin.group) if one.name == plugin.name and _described(plugin.group, one) == plugin
        )
    except ValueError:
        raise PlugInError(plugin, "is not installed any more") from None
    try:
        loaded = entry.load()
    except Exception as error:  # whatever its module does on import
        # The text of a foreign exception is safe only where it names a module.
        missing = f": no module {error.name!r}" if isinstance(error, ModuleNotFoundError) else ""
        raise PlugInError(plugin, f"importing it raised {type(error).__name__}{missing}") from error
    if plugin.group == "dialects":
        if not callable(loaded):
            raise PlugInError(plugin, "expected something that makes a dialect when called")
        return loaded
    base = _OPTIONS[plugin.group]
    if not isinstance(loaded, PlugIn):
        raise PlugInError(plugin, "expected a streamproc.plugins.PlugIn")
    if not issubclass(loaded.options, base):
        raise PlugInError(plugin, f"its options are no subclass of {base.__name__}")
    if loaded.options.__struct_config__.tag != plugin.name:
        raise PlugInError(plugin, f'its options need tag="{plugin.name}", the name of its entry point')
    return loaded


def register_dialects() -> None:
    """Make the dialects of other distributions known by name; each is imported when a stream first uses it.

    A name that is known already keeps its meaning.
    """
    for plugin in installed("dialects"):
        if plugin.name not in dialect_names():
            register_dialect(plugin.name, _Lazily(plugin))


def own_dialects() -> tuple[str, ...]:
    """The names of the dialects that no other distribution brought."""
    return tuple(name for name in dialect_names() if not isinstance(dialect_factory(name), _Lazily))


class _Lazily:
    """Makes dialects of a plug-in that is not imported yet."""

    def __init__(self, plugin: Installed) -> None:
        self._plugin = plugin

    def __call__(self) -> Dialect:
        dialect: Dialect = load_plugin(self._plugin)()
        return dialect


def _entries(group: Group) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=f"streamproc.{group}"))


def _described(group: Group, entry: EntryPoint) -> Installed:
    origin = entry.dist
    return Installed(
        group=group,
        name=entry.name,
        distribution=origin.name if origin is not None else "unknown",
        version=origin.version if origin is not None else "",
        value=entry.value,
    )

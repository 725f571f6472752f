"""What is installed: the kinds and dialects that come with streamproc, and those of other distributions."""

from msgspec import Struct

from streamproc import __version__
from streamproc.errors import ConfigError
from streamproc.plugins import GROUPS, Group, Installed, PlugInError, installed, load_plugin, own_dialects
from streamproc.worker.config.kinds import BUILT_IN, plugin_of

__all__ = ["Row", "listing"]


class Row(Struct, frozen=True, kw_only=True):
    """One kind or dialect."""

    group: Group
    name: str
    version: str  # of the distribution
    distribution: str
    value: str  # what it is imported from; "" for what comes with streamproc
    error: str | None = None  # why it cannot be used


def listing() -> list[Row]:
    """All of them; those of other distributions are imported to see whether they can be."""
    rows: list[Row] = []
    for group in GROUPS:
        own = _own(group)
        rows += [Row(group=group, name=name, version=__version__, distribution="streamproc", value="") for name in own]
        rows += [
            Row(
                group=group,
                name=plugin.name,
                version=plugin.version,
                distribution=plugin.distribution,
                value=plugin.value,
                error="is not used: streamproc has this name itself" if plugin.name in own else _error(plugin),
            )
            for plugin in installed(group)
        ]
    return rows


def _own(group: Group) -> tuple[str, ...]:
    return own_dialects() if group == "dialects" else tuple(BUILT_IN[group])


def _error(plugin: Installed) -> str | None:
    try:
        if plugin.group == "dialects":
            load_plugin(plugin)
        else:
            plugin_of(plugin.group, plugin.name)
    except PlugInError as error:
        return error.reason
    except ConfigError as error:
        return str(error)
    return None

"""The import rules, as data, and the checker that reads them off the source of every module.

A rule that nothing can break is no rule, so the checker is run on invented sources too (second half of this file).
"""

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "streamproc"

# Lowest first. A module belongs to the longest name here that is its own or that of a package around it. It may import
# from its own group and from those of lower layers; two groups that share a layer do not know each other.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "streamproc.errors",
            "streamproc.loop_clock",
            "streamproc.retry_after",
            "streamproc.secret",
            "streamproc.wording",
        }
    ),
    frozenset({"streamproc.model"}),
    frozenset({"streamproc.usage"}),  # what states say of tokens spent
    frozenset({"streamproc.cost"}),
    frozenset({"streamproc.core"}),
    frozenset({"streamproc.dialects"}),
    frozenset({"streamproc.core.processor"}),  # joins framing, a dialect chosen by name, and the reducer
    frozenset({"streamproc.protocols"}),
    frozenset({"streamproc.columns"}),  # what tables of objects have, in whatever database
    frozenset({"streamproc.redaction"}),  # before sinks and logs; knows changes and the contract of a sink
    frozenset({"streamproc.actions"}),  # what hooks and the pipeline hand to the user
    frozenset({"streamproc.display"}),  # states as text and tables, for the command line and a sink
    frozenset(
        {"streamproc.delivery", "streamproc.hooks", "streamproc.stores", "streamproc.sources", "streamproc.sinks"}
    ),
    frozenset({"streamproc.recovery", "streamproc.rounds"}),  # what follows a lost connection; how many are read
    frozenset({"streamproc.pipeline"}),
    frozenset({"streamproc.plugins"}),  # what is installed beside streamproc, and how a config names it
    frozenset({"streamproc.testing"}),  # for authors of plug-ins; tests may see everything
    frozenset({"streamproc"}),  # the public names; whatever they are made of must not import them
    frozenset({"streamproc.worker"}),
    frozenset({"streamproc.cli"}),
)
LAYER_OF = {group: number for number, groups in enumerate(LAYERS) for group in groups}

# A plug-in does not know another one of its own kind either.
PLUGIN_GROUPS = frozenset({"streamproc.stores", "streamproc.sources", "streamproc.sinks"})

# Sans-IO: a function of its input bytes; no waiting, no clock, no chance, no logger, no socket, no database.
SANS_IO = ("streamproc.model", "streamproc.core", "streamproc.dialects")
NOT_SANS_IO = frozenset(
    {
        *("aiohttp", "anyio", "asyncio", "datetime", "logging", "random", "socket", "sqlite3", "structlog"),
        *("threading", "time"),
    }
)

# `import streamproc` must stay cheap; what needs these loads them when it is used.
LAZY = ("aiohttp", "anyio", "asyncio", "genai_prices", "sqlite3", "structlog")


class Module:
    """One module's name and syntax tree; `is_package` tells an `__init__.py`."""

    def __init__(self, name: str, source: str, *, is_package: bool = False) -> None:
        self.name = name
        self.is_package = is_package
        self.tree = ast.parse(source)

    def is_in(self, *packages: str) -> bool:
        return any(self.name == package or self.name.startswith(f"{package}.") for package in packages)

    def absolute(self, node: ast.ImportFrom) -> str:
        """The module that a `from ... import` names, with its leading dots resolved."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, node.module] if node.module else parts)

    def imports(self, known: Mapping[str, "Module"]) -> Iterator[tuple[int, str]]:
        """Line and name of every module that is imported, at any depth: in functions, for type checkers, by string."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    yield from ((node.lineno, alias.name) for alias in names)
                case ast.ImportFrom(names=names):
                    base = self.absolute(node)
                    members = [f"{base}.{alias.name}" for alias in names]
                    yield from ((node.lineno, member if member in known else base) for member in members)
                case ast.Call(
                    func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                    args=[ast.Constant(value=str(target)), *_],
                ):
                    yield node.lineno, target


def read_package() -> dict[str, Module]:
    modules: dict[str, Module] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path.read_text(encoding="utf-8"), is_package=is_package)
    return modules


def group_of(name: str) -> str | None:
    """The entry of LAYERS that rules a module, or None; the top package rules itself alone."""
    while name not in LAYER_OF:
        name = name.rpartition(".")[0]
    return name if name in LAYER_OF else None


def is_placed(module: Module) -> bool:
    return module.name == PACKAGE or group_of(module.name) not in (None, PACKAGE)


def import_faults(modules: Mapping[str, Module]) -> list[str]:
    """Imports that go upwards, sideways to another group, or from plug-in to plug-in."""
    faults = []
    for module in modules.values():
        group = group_of(module.name)
        for line, target in module.imports(modules):
            other = group_of(target) if target.partition(".")[0] == PACKAGE else None
            if group is None or other is None:
                continue
            if group != other:
                allowed = LAYER_OF[other] < LAYER_OF[group]
            else:
                # A plug-in may use its package (`sinks`) and private modules of it (`sinks._framing`).
                sibling = target.removeprefix(f"{group}.").partition(".")[0]
                own = module.name.removeprefix(f"{group}.").partition(".")[0]
                is_plugin = group in PLUGIN_GROUPS and module.name != group
                allowed = not is_plugin or target == group or sibling.startswith("_") or sibling == own
            if not allowed:
                faults.append(f"{module.name}:{line} imports {target}")
    return faults


def sans_io_faults(modules: Mapping[str, Module]) -> list[str]:
    """Coroutines, and modules that wait, tell the time, throw dice, log, or touch the world, in the sans-IO folders."""
    faults = []
    for module in modules.values():
        if not module.is_in(*SANS_IO):
            continue
        faults += [
            f"{module.name}:{line} imports {target}"
            for line, target in module.imports(modules)
            if target.partition(".")[0] in NOT_SANS_IO
        ]
        for node in ast.walk(module.tree):
            match node:
                case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                    faults.append(f"{module.name}:{node.lineno} has {type(node).__name__}")
                case ast.comprehension(is_async=1, target=ast.expr(lineno=line)):
                    faults.append(f"{module.name}:{line} has an async comprehension")
    return faults


def eval_faults(modules: Mapping[str, Module]) -> list[str]:
    """Names that run text as code; methods that happen to be called so are fine."""
    return [
        f"{module.name}:{node.lineno} uses {node.id}"
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name) and node.id in {"eval", "exec"}
    ]


def reexported(module: Module) -> set[str]:
    """Public names that an `__init__` takes from its own package, `if TYPE_CHECKING` included (those load lazily)."""
    return {
        alias.asname or alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and module.absolute(node).partition(".")[0] == PACKAGE
        for alias in node.names
        if not (alias.asname or alias.name).startswith("_")
    }


def declared(module: Module) -> list[str] | None:
    """The names in a module's `__all__`, or None where it has none."""
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return list(ast.literal_eval(value))
    return None


def all_faults(module: Module) -> list[str]:
    """What is re-exported but not listed, and what is listed twice."""
    names = declared(module)
    if names is None:
        return [f"{module.name} re-exports names and has no __all__"] if reexported(module) else []
    missing = sorted(reexported(module) - set(names)) if module.name == PACKAGE else []
    return [f"{module.name} re-exports {name}, which is not in __all__" for name in missing] + [
        f"{module.name} lists {name} twice" for name in sorted({name for name in names if names.count(name) > 1})
    ]


def loaded_by(code: str) -> set[str]:
    """Which modules of LAZY are loaded once a new interpreter has run `code`."""
    # Coverage, when it measures processes too, loads sqlite3 itself; this one is not measured.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    report = f"{code}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", report], env=env, capture_output=True, text=True, check=True)
    return set(result.stdout.split()) & set(LAZY)


MODULES = read_package()


def test_package_is_read_whole() -> None:
    assert {PACKAGE, *SANS_IO} <= MODULES.keys()


def test_each_module_has_a_layer() -> None:
    """A new folder or top-level module has to be placed in LAYERS before it can be used."""
    assert [name for name, module in MODULES.items() if not is_placed(module)] == []


def test_imports_go_downwards() -> None:
    assert import_faults(MODULES) == []


def test_sans_io_folders_do_no_io() -> None:
    assert sans_io_faults(MODULES) == []


def test_no_text_is_run_as_code() -> None:
    assert eval_faults(MODULES) == []


@pytest.mark.parametrize("name", [name for name, module in MODULES.items() if module.is_package])
def test_all_matches_what_a_package_exports(name: str) -> None:
    assert all_faults(MODULES[name]) == []

    package = importlib.import_module(name)
    listed = declared(MODULES[name]) or []
    assert [entry for entry in listed if not hasattr(package, entry)] == []


def test_import_loads_no_event_loop_logger_or_database() -> None:
    assert loaded_by("import streamproc") == set()


# -- the checker itself ------------------------------------------------------------------------------------------------


def invent(sources: Mapping[str, str]) -> dict[str, Module]:
    """Modules that exist only here; a name that is the front part of another is a package."""
    return {
        name: Module(name, source, is_package=any(other.startswith(f"{name}.") for other in sources))
        for name, source in sources.items()
    }


BROKEN_IMPORTS = {
    "upwards, relative": ("streamproc.model.run", "from ..core.sse import Frame", "streamproc.core.sse"),
    "upwards, absolute": ("streamproc.core.sse", "import streamproc.dialects.chat", "streamproc.dialects.chat"),
    "upwards, as a member": ("streamproc.core.sse", "from streamproc import dialects", "streamproc.dialects"),
    "upwards, by dots alone": ("streamproc.core.sse", "from .. import dialects", "streamproc.dialects"),
    "upwards, from an __init__": ("streamproc.core", "from ..dialects import chat", "streamproc.dialects.chat"),
    "upwards, in a function": (
        "streamproc.core.sse",
        "def f():\n    from ..pipeline import Pipeline",
        "streamproc.pipeline",
    ),
    "upwards, for type checkers": (
        "streamproc.core.sse",
        "if TYPE_CHECKING:\n    from ..dialects.chat import Chat",
        "streamproc.dialects.chat",
    ),
    "upwards, by string": (
        "streamproc.core.sse",
        "importlib.import_module('streamproc.pipeline')",
        "streamproc.pipeline",
    ),
    "a dialect, of the processor": (
        "streamproc.dialects.chat",
        "from streamproc.core.processor import StreamProcessor",
        "streamproc.core.processor",
    ),
    "of the public names": ("streamproc.core.sse", "from streamproc import Frame", "streamproc"),
    "errors, of the model": ("streamproc.errors", "from .model import run", "streamproc.model.run"),
    "delivery, of a plug-in": ("streamproc.delivery", "from .sinks import jsonl", "streamproc.sinks.jsonl"),
    "a plug-in, of another kind": ("streamproc.sinks.jsonl", "from ..stores import sqlite", "streamproc.stores.sqlite"),
    "a plug-in, of its kind": ("streamproc.sinks.jsonl", "from .console import Console", "streamproc.sinks.console"),
}
TARGETS = dict.fromkeys(
    [
        *("streamproc", "streamproc.model", "streamproc.model.run", "streamproc.core", "streamproc.core.sse"),
        *("streamproc.core.processor", "streamproc.dialects", "streamproc.dialects.chat", "streamproc.pipeline"),
        *("streamproc.stores", "streamproc.stores.sqlite", "streamproc.sinks", "streamproc.sinks.jsonl"),
        *("streamproc.sinks.console", "streamproc.sinks._framing"),
    ],
    "",
)


@pytest.mark.parametrize(("name", "source", "target"), BROKEN_IMPORTS.values(), ids=BROKEN_IMPORTS)
def test_checker_reports_a_broken_import(name: str, source: str, target: str) -> None:
    (fault,) = import_faults(invent({**TARGETS, name: source}))

    assert fault.startswith(f"{name}:")
    assert fault.endswith(f" imports {target}")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("streamproc.core.sse", "from ..errors import FrameTooLarge\nfrom ..model import run\nfrom . import limits"),
        ("streamproc.core.processor", "from ..dialects import chat"),
        ("streamproc.sinks", "from . import console, jsonl"),
        ("streamproc.sinks.jsonl", "from . import _framing\nfrom ..protocols import Sink"),
        ("streamproc.cli.replay", "from .. import Frame\nfrom ..sinks import jsonl"),
        ("streamproc.core.sse", "import json\nfrom collections.abc import Iterable"),
    ],
)
def test_checker_accepts_a_sound_import(name: str, source: str) -> None:
    assert import_faults(invent({**TARGETS, name: source})) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from datetime import datetime",
        "def f():\n    import os, sqlite3",
        "if TYPE_CHECKING:\n    import asyncio.events",
        "async def f(): pass",
        "async def f(): return [x async for x in y]",
        "async def f(): await g()",
    ],
)
def test_checker_reports_io_in_the_sans_io_folders(source: str) -> None:
    assert sans_io_faults(invent({"streamproc.core.sse": source}))
    assert sans_io_faults(invent({"streamproc.delivery": source})) == []


def test_checker_reports_text_that_is_run_as_code() -> None:
    assert eval_faults(invent({"streamproc.cli": "import os\nx = eval('1')"})) == ["streamproc.cli:2 uses eval"]
    assert eval_faults(invent({"streamproc.cli": "run = exec"})) == ["streamproc.cli:1 uses exec"]
    assert eval_faults(invent({"streamproc.cli": "model.eval()"})) == []


def test_checker_reports_a_module_without_a_layer() -> None:
    modules = invent({"streamproc": "", "streamproc.extras": "", "streamproc.core.sse": ""})

    assert [name for name, module in modules.items() if not is_placed(module)] == ["streamproc.extras"]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from .core import sse", "streamproc re-exports names and has no __all__"),
        ("from .core import sse\n__all__ = []", "streamproc re-exports sse, which is not in __all__"),
        ("if TYPE_CHECKING:\n    from .a import B\n__all__ = ()", "streamproc re-exports B, which is not in __all__"),
        ("__all__ = ['a', 'a']", "streamproc lists a twice"),
    ],
)
def test_checker_reports_an_all_that_is_wrong(source: str, fault: str) -> None:
    assert all_faults(Module("streamproc", source, is_package=True)) == [fault]


def test_checker_sees_what_an_import_loads() -> None:
    assert loaded_by("import asyncio, sqlite3") == {"asyncio", "sqlite3"}

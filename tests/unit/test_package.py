"""The public names: each is there under the module that documents it, and what is heavy loads when it is used."""

import importlib
import subprocess
import sys
from typing import Any

import pytest

import streamproc
import streamproc.delivery
import streamproc.sinks
import streamproc.sources
import streamproc.stores
import streamproc.testing

PACKAGES = (
    streamproc,
    streamproc.delivery,
    streamproc.sinks,
    streamproc.sources,
    streamproc.stores,
    streamproc.testing,
)
LAZY = (streamproc, streamproc.sources, streamproc.stores)

each_package = pytest.mark.parametrize("package", PACKAGES, ids=[package.__name__ for package in PACKAGES])
each_lazy_package = pytest.mark.parametrize("package", LAZY, ids=[package.__name__ for package in LAZY])


def loaded_by(code: str) -> set[str]:
    """The top-level packages that are loaded once a new interpreter has run `code`."""
    report = f"{code}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in result.stdout.split()}


@each_package
def test_each_public_name_is_there(package: Any) -> None:
    """Under the name it is listed by, so that `from streamproc.sinks import JsonlSink` works."""
    for name in package.__all__:
        found = getattr(package, name)

        assert getattr(found, "__name__", name) in (name, "Literal")  # an alias has the name of what it stands for


@each_lazy_package
def test_a_lazy_name_is_the_object_of_its_module(package: Any) -> None:
    """Also when it is asked for again, and by `import *`."""
    for name, module in package._LAZY.items():
        first = package.__getattr__(name)

        assert first is getattr(importlib.import_module(module), name) is getattr(package, name)
    assert set(package._LAZY) <= set(package.__all__)


@each_package
def test_a_name_that_does_not_exist_is_an_attribute_error(package: Any) -> None:
    """Named as Python does it, since `hasattr` and spelling hints depend on it."""
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Pipelin'"):
        package.Pipelin  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import streamproc", {"anyio", "structlog", "aiohttp", "asyncio"}),
        ("from streamproc import Pipeline; Pipeline", {"aiohttp", "filelock"}),
        ("from streamproc.sources import IterableSource, FileSource", {"aiohttp"}),
        ("from streamproc.sinks import JsonlSink; JsonlSink", {"aiohttp", "filelock"}),
        ("from streamproc.testing import check_sink", {"aiohttp", "pytest"}),
    ],
)
def test_what_is_heavy_is_not_loaded_before_it_is_used(code: str, absent: set[str]) -> None:
    """In a new interpreter."""
    assert loaded_by(code) & absent == set()


@pytest.mark.slow
def test_the_http_source_loads_its_client() -> None:
    """So the test above could fail."""
    assert "aiohttp" in loaded_by("from streamproc.sources import HttpSource")

"""What `import streamproc` costs beyond importing msgspec: fresh interpreters, in turns, CPU time.

Byte code comes from a cache of our own, filled by a first round that does not count: an installed package has its byte
code, and an environment that forbids writing it (`PYTHONDONTWRITEBYTECODE`) would measure the compiler.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.table import Row

__all__ = ["rows"]

_ROOT: Final = Path(__file__).resolve().parent.parent
_MODULES: Final = ("msgspec", "streamproc")
_CODE: Final = "from time import process_time as t; start = t(); import {}; print(t() - start)"


def rows(rounds: int) -> Iterator[Row]:
    """Yield the one row."""
    spent: dict[str, list[float]] = {name: [] for name in _MODULES}
    with TemporaryDirectory() as cache:
        for name in _MODULES:
            _import_ms(name, cache)
        for number in range(max(9, rounds)):
            for name in _MODULES if number % 2 else reversed(_MODULES):
                spent[name].append(_import_ms(name, cache))
    beyond = median(ours - its for ours, its in zip(spent["streamproc"], spent["msgspec"], strict=True))
    alone, both = (median(spent[name]) for name in _MODULES)
    remarks = f"{both:.1f} ms with msgspec, {alone:.1f} ms for msgspec alone"
    yield Row("import", "import streamproc beyond msgspec", beyond, "ms", remarks, 1)


def _import_ms(name: str, cache: str) -> float:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(_ROOT), "PYTHONPYCACHEPREFIX": cache}
    command = [sys.executable, "-c", _CODE.format(name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1000

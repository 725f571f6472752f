"""Distributions with plug-ins, made for a test: real metadata and real modules in a folder on `sys.path`."""

from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["install"]


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    name: str,
    entries: Mapping[str, Mapping[str, str]],
    *,
    module: str = "",
    version: str = "1.2.3",
) -> None:
    """Install a distribution for the rest of a test.

    Args:
        folder: is made.
        entries: group -> name -> what it is imported from.
        module: the source of a module with the distribution's name.
    """
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines: list[str] = []
    for group, points in entries.items():
        lines.append(f"[streamproc.{group}]")
        lines += [f"{point} = {value}" for point, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / f"{name}.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)

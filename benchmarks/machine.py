"""Where and with what the figures were taken."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.node import node_version
from streamproc import __version__

__all__ = ["describe", "headline"]

_PACKAGES: Final = ("msgspec", "openai", "azure-ai-agents", "httpx-sse", "httpx")


def describe() -> dict[str, object]:
    """Machine, versions, commit and date, as JSON data."""
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "os": _system(),
            "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        },
        "versions": {
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "streamproc": __version__,
            **{name: _installed(name) for name in _PACKAGES},
            "node": node_version() or None,
        },
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def headline(described: dict[str, object]) -> str:
    """The same in one line."""
    machine, versions = described["machine"], described["versions"]
    assert isinstance(machine, dict)
    assert isinstance(versions, dict)
    packages = ", ".join(f"{name} {found}" for name, found in versions.items() if found and name != "streamproc")
    load = f", load {machine['load'][0]:.1f}" if machine["load"] else ""
    return (
        f"streamproc {versions['streamproc']} at {described['commit']}, {described['date']}; "
        f"{machine['cpu']}, {machine['cores']} cores{load}, {machine['os']}; {packages}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    release = ".".join(platform.release().split(".")[:2])
    return f"{platform.system()} {release} {platform.machine()}"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    def git(*args: str) -> str:
        folder = Path(__file__).resolve().parent
        try:
            done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=10", "HEAD")
    if not commit:
        return "no commit"
    return f"{commit} with changes" if git("status", "--porcelain") else commit

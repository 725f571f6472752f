"""Two versions of the openai npm package side by side, in a cache folder outside the repository."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

__all__ = ["NodePackage", "NodeUnavailable", "install", "node_version"]

_VERSIONS: Final = {"openai-node-newest": "latest", "openai-node-4.29.0": "4.29.0"}
_INSTALL_LIMIT_S: Final = 180


class NodeUnavailable(Exception):
    """There is no node, no npm, or no way to the packages; the text says which."""


class NodePackage(Struct, frozen=True):
    """One installed version."""

    name: str
    folder: Path
    version: str
    wants_node: str  # what the package says it needs; "" if nothing


def node_version() -> str:
    """Version of node; "" where there is none."""
    if shutil.which("node") is None:
        return ""
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()


def install() -> list[NodePackage]:
    """Install the packages, or bring the newest up to date; offline, what is there already will do.

    Raises:
        NodeUnavailable: node, npm or the packages are missing.
    """
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise NodeUnavailable(f"{tool} is not installed")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamproc-bench"
    folder.mkdir(parents=True, exist_ok=True)
    specs = [f"{name}@npm:openai@{version}" for name, version in _VERSIONS.items()]
    options = ["--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=20000"]
    command = ["npm", "install", "--prefix", str(folder), *options, *specs]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S, check=False)
        failure = done.stderr.strip().splitlines()[:1] if done.returncode else []
    except subprocess.TimeoutExpired:
        failure = [f"npm took more than {_INSTALL_LIMIT_S} s"]
    packages = [folder / "node_modules" / name for name in _VERSIONS]
    if not all((package / "package.json").is_file() for package in packages):
        raise NodeUnavailable(f"npm could not install the packages ({''.join(failure) or 'no reason given'}); offline?")
    return [_read(package) for package in packages]


def _read(folder: Path) -> NodePackage:
    data = msgspec.json.decode((folder / "package.json").read_bytes())
    return NodePackage(folder.name, folder, data["version"], (data.get("engines") or {}).get("node", ""))

"""docs/proxy.md: its tables say what the code does, no more and no less."""

import inspect
import re
from typing import Final, get_args

from streamproc.cli.proxy import proxy
from streamproc.worker import proxy as server
from streamproc.worker import proxy_exchange
from streamproc.worker.proxy import Proxy
from streamproc.worker.proxy_statistics import Untapped
from streamproc.worker.proxy_upstream import Trouble
from tests.conftest import ROOT

PAGE: Final = (ROOT / "docs" / "proxy.md").read_text(encoding="utf-8")


def table(title: str) -> dict[str, str]:
    """First cell -> second cell of the table whose first column has this title."""
    _, _, rest = PAGE.partition(f"| {title} |")
    body = rest.partition("\n\n")[0].splitlines()[2:]
    rows = (re.split(r"(?<!\\)\|", row.strip("|")) for row in body)
    return {row[0].strip(): row[1].strip() for row in rows}


def test_reasons() -> None:
    """Why something was not recorded."""
    assert set(table("reason")) == {f"`{reason}`" for reason in get_args(Untapped)}


def test_codes() -> None:
    """What the proxy answers by itself, with its status."""
    documented = {
        code: int(status) for codes, status in table("code").items() for code in re.findall(r"`(\w+)`", codes)
    }
    source = inspect.getsource(server) + inspect.getsource(proxy_exchange)
    found = {code: int(status) for status, code in re.findall(r'refused\(\s*request, (\d+), "(\w+)"', source)}
    found |= dict.fromkeys(re.findall(r'_refused\(request, "(\w+)"', source), 400)
    found |= {f"upstream_{trouble}": proxy_exchange.ANSWERS[trouble][0] for trouble in get_args(Trouble)}

    assert documented == found


def test_options() -> None:
    """The command's, with their defaults."""
    documented = {name.split()[0].strip("`"): default.strip("`") for name, default in table("option").items()}
    options = {
        f"--{name.replace('_', '-')}": ""
        if option.default in (inspect.Parameter.empty, False)
        else f"{option.default:g}"
        if isinstance(option.default, float)
        else str(option.default)
        for name, option in inspect.signature(proxy).parameters.items()
    }

    assert documented == options


def test_bounds() -> None:
    """The figures beside the names of arguments."""
    defaults = {name: each.default for name, each in inspect.signature(Proxy).parameters.items()}
    units = {"": 1, "KiB": 1024, "MiB": 1024 * 1024}
    named = re.findall(r"(\d+) ?(KiB|MiB|)[^.|]*? \(`(max_\w+)`\)", PAGE)

    assert {name for _, _, name in named} == {name for name in defaults if name.startswith("max_")}
    assert {name: int(number) * units[unit] for number, unit, name in named} == {
        name: default for name, default in defaults.items() if name.startswith("max_")
    }

"""The table of chunks in docs/dialects/chat.md: each row is sent, and makes the events that it names."""

import re
from typing import Final

import pytest

from streamproc import StreamProcessor
from tests.chats import DONE, Json, calling, chunk, delta, ends, piece, role, says, stream, usage
from tests.conftest import ROOT

PAGE: Final = (ROOT / "docs" / "dialects" / "chat.md").read_text(encoding="utf-8")
CITATION: Final = {"type": "url_citation", "url_citation": {"url": "u"}}
CHUNKS: Final[dict[str, list[Json]]] = {
    "role only": [role()],
    "`content`": [says("b")],
    "`content`, a list (Mistral)": [says([{"type": "text", "text": "b"}])],
    "`refusal`": [delta(refusal="b")],
    "`tool_calls`, first entry": [calling(piece("", "f", id="a"))],
    "`function_call`": [delta(function_call={"name": "f"})],
    "`annotations`": [delta(annotations=[CITATION])],
    "`reasoning_content`, `reasoning`, `reasoning_details`": [
        *(delta(reasoning_content="b"), delta(reasoning="b"), delta(reasoning_details=[{"type": "x"}])),
    ],
    "`audio`, `images`, `executed_tools`": [
        *(delta(audio={"id": "b"}), delta(images=[{}]), delta(executed_tools=[{}])),
    ],
    "`finish_reason`": [ends("stop")],
    "`usage`": [usage(1, 2)],
    "error": [{"error": {"message": "b"}}],
    "`[DONE]` after a `finish_reason`": [ends("stop"), DONE],
    "`[DONE]` without": [DONE],
    "ping, keepalive": [{"type": "ping"}, {"type": "keepalive"}],
}


def rows() -> dict[str, list[str]]:
    """First column -> the events of the third."""
    (table,) = re.findall(r"\| chunk \| .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE)
    cells = [line.strip("|").split(" | ") for line in table.splitlines()]
    return {first.strip(): re.findall(r"`([a-z._]+)`", last) for first, _, last in cells}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_row_says_what_happens(name: str) -> None:
    """After a role and a first text."""
    proc = StreamProcessor("chat")
    proc.feed(stream(role(), says("a"), chunk()))
    changes = [change.event for item in CHUNKS[name] for change in proc.feed(stream(item))]

    assert changes == rows()[name]


def test_each_row_is_sent() -> None:
    """None is left out, none is too many."""
    assert rows().keys() == CHUNKS.keys()

"""A language-neutral table of streams and what they mean, under every kind of chunking.

The table is not part of this repository. Set STREAMPROC_SSE_CASES to its path; without it, the tests look beside the
checkout and beside the folder that STREAMPROC_CORPUS names, and else skip.
"""

import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from streamproc.core.sse import SSEParser

Case: TypeAlias = dict[str, Any]
Outcome: TypeAlias = tuple[list[tuple[str, str, str]], int | None, str]

SPLIT_ALL_BELOW = 3000  # a longer stream is split at a sample of its positions only


def find_cases() -> Path | None:
    """The first place that has the table. A path that is set but wrong is an error, so that it cannot hide a skip."""
    if named := os.environ.get("STREAMPROC_SSE_CASES"):
        return Path(named)
    folders = [Path(__file__).resolve().parents[2].parent / "shared"]
    if corpus := os.environ.get("STREAMPROC_CORPUS"):
        folders.append(Path(corpus).resolve().parent)
    places = [folder / "spec" / "sse_cases.json" for folder in folders]
    return next((place for place in places if place.is_file()), None)


PATH = find_cases()
CASES: list[Case] = json.loads(PATH.read_text("utf-8")) if PATH else []

pytestmark = pytest.mark.skipif(PATH is None, reason="no sse_cases.json; set STREAMPROC_SSE_CASES to its path")
each_case = pytest.mark.parametrize("case", CASES, ids=[f"{number}" for number in range(len(CASES))])


def chunks_of(case: Case) -> list[bytes]:
    return [chunk.encode("latin-1") for chunk in case["chunks"]]


def expected_of(case: Case) -> Outcome:
    events = [(event["event"], event["data"], event["last_event_id"]) for event in case["events"]]
    return events, case["retry_ms"], case["last_event_id"]


def outcome(chunks: list[bytes]) -> Outcome:
    parser = SSEParser()
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    parser.close()
    return [(frame.event, frame.text, frame.id) for frame in frames], parser.retry_ms, parser.last_event_id


def two_way(data: bytes) -> Iterator[list[bytes]]:
    positions: Sequence[int] = range(len(data) + 1)
    if len(data) >= SPLIT_ALL_BELOW:
        positions = random.Random(len(data)).sample(positions, 300)
    for position in positions:
        yield [data[:position], data[position:]]


def many_way(data: bytes) -> Iterator[list[bytes]]:
    for seed in range(50):
        rng = random.Random(seed)
        cuts = sorted(rng.choices(range(len(data) + 1), k=rng.randint(2, 20)))
        yield [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@each_case
def test_as_given(case: Case) -> None:
    """The chunks of the table."""
    assert outcome(chunks_of(case)) == expected_of(case), case["name"]


@each_case
def test_as_one_chunk(case: Case) -> None:
    """The whole stream at once."""
    assert outcome([b"".join(chunks_of(case))]) == expected_of(case), case["name"]


@each_case
def test_byte_by_byte(case: Case) -> None:
    """The smallest chunks there are."""
    assert outcome([bytes([byte]) for byte in b"".join(chunks_of(case))]) == expected_of(case), case["name"]


@each_case
def test_every_two_way_split(case: Case) -> None:
    """Cut once, anywhere."""
    for chunks in two_way(b"".join(chunks_of(case))):
        assert outcome(chunks) == expected_of(case), (case["name"], len(chunks[0]))


@each_case
def test_random_many_way_splits(case: Case) -> None:
    """Cut often, empty chunks included."""
    for chunks in many_way(b"".join(chunks_of(case))):
        assert outcome(chunks) == expected_of(case), (case["name"], [len(chunk) for chunk in chunks])

"""Recorded streams of real runs: each final state equals the server's own, under any split of the bytes.

The recordings are not part of this repository, see the fixture `corpus`. What they amount to is kept beside this file
in recordings_digest.json, one entry a recording: ids, statuses and kinds as they are, texts as their length and the
start of their SHA-256. It was checked against the recordings by eye; after an intended change of behaviour, write it
anew with the following, and check the difference:

    python -m tests.conformance.test_recordings FOLDER
"""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from streamproc import Change, StreamProcessor, encode_change, to_wire
from streamproc.core.dialect import DialectFactory
from streamproc.model.wire import WireObject
from tests.properties.generators import GeneralDialect
from tests.streams import wire

FILES: Final = 33
SPLITS: Final = 100
DIGEST: Final = Path(__file__).with_name("recordings_digest.json")
TERMINAL: Final = ("completed", "failed", "cancelled", "expired")
UNFRAMED: Final = frozenset(
    {
        "openai-php_client__ThreadRunStreamResponse.eace7a5.sse",
        "openai-php_client__ThreadRunStreamResponseFixture.eace7a5.sse",
    }
)
"""Stored without the blank lines between events, so by the standard each is one block that never ends: no event."""


def recordings(corpus: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((corpus / "assistants").glob("*.sse"))}


def fed(data: bytes) -> StreamProcessor:
    proc = StreamProcessor()
    proc.feed(data)
    proc.close()
    return proc


def terminal_snapshots(data: bytes) -> dict[str, Any]:
    """Step id -> its last terminal snapshot, read line by line and without the code under test."""
    found: dict[str, Any] = {}
    for line, following in pairwise(data.decode().splitlines()):
        name, payload = line.removeprefix("event: thread.run.step."), following.removeprefix("data: ")
        if name in TERMINAL and payload != following:
            snapshot = json.loads(payload)
            found[snapshot["id"]] = snapshot
    return found


# --- final states -----------------------------------------------------------------------------------------------------


def test_each_step_equals_its_terminal_snapshot(corpus: Path) -> None:
    """As JSON data: unknown members are there, absent ones are absent, numbers keep their kind.

    24 files hold a terminal snapshot. Two of them were stored without blank lines between events, so that the standard
    finds no event in them (`replay` repairs such files); of the others each snapshot is compared.
    """
    files = steps = 0
    for name, data in recordings(corpus).items():
        expected = terminal_snapshots(data)
        proc = fed(data)
        if name in UNFRAMED:
            assert expected
            assert not proc.steps
            continue
        for id, snapshot in expected.items():
            assert json.dumps(snapshot, sort_keys=True) == json.dumps(wire(proc.steps[id]), sort_keys=True), name
        files += bool(expected)
        steps += len(expected)

    assert (files, steps) == (22, 38)


# --- any split --------------------------------------------------------------------------------------------------------


def fed_in(data: bytes, cuts: Sequence[int], dialect: DialectFactory | str = "assistants") -> list[Change]:
    proc = StreamProcessor(dialect)
    changes: list[Change] = []
    for start, end in pairwise([0, *cuts, len(data)]):
        changes += proc.feed(data[start:end])
    return changes + proc.close()


def seen(changes: list[Change]) -> list[tuple[Any, ...]]:
    """All that tells changes apart, without building a state."""
    return [(c.seq, c.event, c.kind, c.id, c.run_id, c.thread_id, c.revision, c.raw, c.data, c.note) for c in changes]


def read(changes: list[Change]) -> list[tuple[bytes, bytes | None]]:
    """The JSON form of each change, and the state as of it."""
    return [(encode_change(change), to_wire(state) if (state := change.state) else None) for change in changes]


@pytest.mark.slow
def test_any_split_gives_the_same_changes(corpus: Path) -> None:
    """Byte by byte, and in 100 random splits; each state is read after every tenth split, the last ones always."""
    found = recordings(corpus)
    for name, data in found.items():
        whole = fed_in(data, [])
        expected = read(whole)
        rng = random.Random(name)
        splits = [sorted(rng.choices(range(len(data) + 1), k=rng.randint(1, 40))) for _ in range(SPLITS)]
        for number, cuts in enumerate([range(1, len(data)), *splits]):
            changes = fed_in(data, cuts)
            first = 0 if number % 10 == 0 else max(0, len(changes) - 3)

            assert seen(whole) == seen(changes), (name, number)
            assert expected[first:] == read(changes[first:]), (name, number)

    assert len(found) == FILES


def test_the_fast_path_gives_the_changes_of_the_general_path(corpus: Path) -> None:
    """In every state and byte."""
    for name, data in recordings(corpus).items():
        changes = fed_in(data, [len(data) // 2])
        general = fed_in(data, [], GeneralDialect)

        assert seen(general) == seen(changes), name
        assert read(general) == read(changes), name


# --- the reviewed digest ----------------------------------------------------------------------------------------------


def text_digest(text: object) -> str:
    """Length and hash of a text; a tiny text, and what is no text, as it is."""
    if not isinstance(text, str) or len(text) <= 2:
        return json.dumps(text)
    return f"{len(text)}#{sha256(text.encode()).hexdigest()[:12]}"


def call_digest(call: Mapping[str, Any]) -> str:
    payload = call[call["type"]]
    words = [call["type"], call["id"], *([payload["name"]] if "name" in payload else [])]
    words += [f"{key}={text_digest(payload[key])}" for key in ("arguments", "input", "output") if key in payload]
    words += [f"{item['type']}={text_digest(item[item['type']])}" for item in payload.get("outputs", [])]
    words += [f"results={len(payload['results'])}"] if "results" in payload else []
    return " ".join(words)


def block_digest(block: Mapping[str, Any]) -> str:
    payload = block[block["type"]]
    return f"{block['type']}={text_digest(payload['value'])} annotations={len(payload['annotations'])}"


def object_digest(obj: WireObject) -> str:
    """One line: status, number of members, tokens, then what the object holds."""
    data = wire(obj)
    details = data.get("step_details", {})
    parts = [f"{data['status']}, {len(data)} members"]
    parts += [f"{data['usage']['total_tokens']} tokens"] if data.get("usage") else []
    parts += [f"message {details['message_creation']['message_id']}"] if "message_creation" in details else []
    parts += map(call_digest, details.get("tool_calls", []))
    parts += map(block_digest, data.get("content", []))
    return ", ".join(parts)


def digest(proc: StreamProcessor, changes: int) -> dict[str, Any]:
    """What a reader can check against the recording, and no content of it."""
    return {
        "changes": changes,
        "anomalies": ", ".join(f"{kind} {count}" for kind, count in sorted(proc.anomalies.items())),
        "truncated": proc.truncated,
        "runs": {id: object_digest(run) for id, run in proc.runs.items()},
        "steps": {id: object_digest(step) for id, step in proc.steps.items()},
        "messages": {id: object_digest(message) for id, message in proc.messages.items()},
    }


def digests(found: Mapping[str, bytes]) -> dict[str, Any]:
    """One entry a recording, and one for each pair of streams of one run, fed into one table."""
    out: dict[str, Any] = {}
    for name, data in found.items():
        proc = StreamProcessor()
        changes = proc.feed(data) + proc.close()
        out[name] = digest(proc, len(changes))
        if ".i1." in name:
            proc.open()
            second = name.replace(".i1.", ".i2.")
            changes += proc.feed(found[second]) + proc.close()
            out[f"{name} + {second}"] = digest(proc, len(changes))
    return out


def test_final_states_match_the_reviewed_digest(corpus: Path) -> None:
    """Of all 33 recordings, alone, and of both pairs where a second stream goes on with the run of the first."""
    expected = json.loads(DIGEST.read_text("utf-8"))
    found = digests(recordings(corpus))

    assert len(expected) == FILES + 2
    assert expected.keys() == found.keys()
    assert all(expected[name] == found[name] for name in expected)


def main(folder: str) -> None:
    found = recordings(Path(folder))
    if len(found) != FILES:
        sys.exit(f"expected {FILES} recordings in {folder}/assistants, found {len(found)}")
    DIGEST.write_text(json.dumps(digests(found), indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.stderr.write(f"{len(found)} recordings -> {DIGEST}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

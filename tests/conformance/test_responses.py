"""Recorded Responses streams: found out by themselves, and read as the published `openai` package reads them.

The recordings are not part of this repository, see the fixture `corpus`. What they amount to is kept in
expected/responses.json, one line an object: ids are left out, texts are their length and the start of their SHA-256.
It was checked against the recordings by eye; after an intended change of behaviour, write it anew with the following,
and check the difference:

    python -m tests.conformance.test_responses FOLDER
"""

import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from streamproc import Change, StreamProcessor
from streamproc.core.dialect import detect
from streamproc.core.sse import SSEParser
from streamproc.dialects import ResponsesDialect
from streamproc.model.message import RefusalBlock
from streamproc.testing import check_dialect
from tests.conformance.readings import Call, Reading, Usage, read_responses
from tests.streams import wire

FILES: Final = 85
EXPECTED: Final = Path(__file__).with_name("expected") / "responses.json"
UNFRAMED: Final = "openai-php_client__ResponseCodeInterpreterCreate.sse"
"""Stored without the blank lines between events, so by the standard one event that is no JSON."""

_NO_RESPONSE: Final = "one event that says nothing of a response; the package counts one, here there is no run"
DIFFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "openai-php_client__ResponseApplyPatchCallOperationDiffDelta.sse": {"finish": _NO_RESPONSE},
    "openai-php_client__ResponseRateLimitsUpdated.sse": {"finish": _NO_RESPONSE},
    "vercel_ai__openai-error.1.sse": {
        "finish": "the package raises at the error; the response.failed behind it says how the response ended",
    },
    "vercel_ai__parallel-tool-call-wrapper.1.sse": {
        "calls": "the package raises at the first of two payloads that are no JSON; the call between them is sound",
    },
}
"""File -> what of it is read in another way, and why; everything else is read in the same way."""

# --- reading ----------------------------------------------------------------------------------------------------------

_NATIVE: Final = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "code_interpreter": "code_interpreter_call",
    "file_search": "file_search_call",
}


def recordings(corpus: Path) -> dict[str, bytes]:
    """The recordings, with the blank line at the end that some were stored without."""
    return {path.name: _ended(path.read_bytes()) for path in sorted((corpus / "responses").glob("*.sse"))}


def _ended(data: bytes) -> bytes:
    return data if data.endswith((b"\n\n", b"\r\n\r\n")) else data + b"\n\n"


def fed(data: bytes, dialect: str = "auto") -> StreamProcessor:
    proc = StreamProcessor(dialect)
    proc.feed(data)
    proc.close()
    return proc


def reading(proc: StreamProcessor) -> Reading:
    """What the states amount to, in the words of the independent reading."""
    refusals = [
        "".join(str(block.refusal) for block in message.content or () if isinstance(block, RefusalBlock))
        for message in proc.messages.values()
    ]
    runs = [wire(run) for run in proc.runs.values()]
    return Reading(
        "events",
        tuple(message.text for message in proc.messages.values()),
        tuple(refusals),
        tuple(_call(step) for step in map(wire, proc.steps.values()) if step["type"] == "tool_calls"),
        tuple(_usage(run["usage"]) for run in runs if run["usage"]),
        tuple(run["status"] for run in runs),
        None,
    )


def _call(step: Mapping[str, Any]) -> Call:
    (call,) = step["step_details"]["tool_calls"]
    kind = str(_NATIVE.get(call["type"], call["type"]))
    if kind == "code_interpreter_call":
        name, arguments = "", call["code_interpreter"]["input"]
    elif kind == "file_search_call":
        name, arguments = "", json.dumps(step["extras"]["item"]["queries"])
    else:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
    return Call(kind, "" if name == kind else name, arguments, call["id"])


def _usage(usage: Mapping[str, Any]) -> Usage:
    given, made = usage.get("prompt_tokens_details", {}), usage.get("completion_tokens_details", {})
    counts = usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
    return Usage(*counts, given.get("cached_tokens"), made.get("reasoning_tokens"))


def comparable(found: Reading) -> dict[str, Any]:
    """Without what is said in several ways: data that stands for arguments, and a response without a status yet."""
    calls = [replace(call, arguments=_same(call.arguments)) for call in found.calls]
    kept = {"texts": found.texts, "refusals": found.refusals, "usage": found.usage, "calls": calls}
    return {**kept, "finish": tuple(status or "in_progress" for status in found.finish)}


def _same(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return arguments


# --- the tests --------------------------------------------------------------------------------------------------------


def test_every_recording_is_found_out_by_itself(corpus: Path) -> None:
    """By one of its first two events at the latest; one recording has not one event that is JSON."""
    found = recordings(corpus)
    for name, data in found.items():
        first = [frame for frame in SSEParser().feed(data)[:2] if _is_json(frame.data)]

        assert ({detect(frame.event, json.loads(frame.data)) for frame in first} == {"responses"}) == (
            name != UNFRAMED
        ), name

    assert len(found) == FILES


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True


def test_every_recording_is_read_as_the_openai_package_reads_it(corpus: Path) -> None:
    """Texts, refusals, calls, usage and how each response ended; what differs is listed, and does differ."""
    found: dict[str, set[str]] = {}
    for name, data in recordings(corpus).items():
        if name == UNFRAMED:
            continue
        theirs, ours = comparable(read_responses(data)), comparable(reading(fed(data)))
        if differing := {member for member in ours if ours[member] != theirs[member]}:
            found[name] = differing

    assert {name: {*members} for name, members in DIFFERENCES.items()} == found


def test_the_unframed_recording_is_one_bad_event(corpus: Path) -> None:
    """It costs an anomaly and nothing else; with blank lines it is read as the package reads it."""
    data = recordings(corpus)[UNFRAMED]
    framed = data.replace(b"\n", b"\n\n")

    assert not fed(data).runs
    assert fed(data).anomalies == {"bad_json": 1, "truncated": 1}
    assert comparable(read_responses(framed)) == comparable(reading(fed(framed)))


@pytest.mark.slow
def test_recordings_keep_the_contract_of_dialects(corpus: Path) -> None:
    """Any split, damaged payloads, two streams at a time; a sample, since each is decoded some hundred times."""
    found = recordings(corpus)
    small = [data for name, data in found.items() if len(data) < 40_000 and name != UNFRAMED]

    assert len(small) > 30
    check_dialect(ResponsesDialect, small)


@pytest.mark.slow
def test_no_cut_completes_what_was_not_completed(corpus: Path) -> None:
    """Cut behind each event: a step that is completed then is so in the whole recording, with no text less."""
    for name, data in recordings(corpus).items():
        proc = fed(data)
        whole = {id: (wire(step), _text(proc, wire(step))) for id, step in proc.steps.items()}
        for cut in _cuts(data):
            part = fed(cut)
            for id, step in part.steps.items():
                if step.status == "completed":
                    assert whole[id][0]["status"] == "completed", (name, len(cut))
                    assert whole[id][1] == _text(part, wire(step)), (name, len(cut))


def _cuts(data: bytes) -> list[bytes]:
    """The recording up to each event; beyond the first hundred, up to every twentieth."""
    ends = [at for at in range(len(data)) if data.startswith(b"\n\n", at)]
    return [data[: end + 2] for number, end in enumerate(ends) if number < 100 or number % 20 == 0]


def _text(proc: StreamProcessor, step: Mapping[str, Any]) -> str:
    details = step["step_details"]
    if details["type"] == "message_creation":
        return proc.messages[details["message_creation"]["message_id"]].text
    return json.dumps(
        [{**call, "function": {**call.get("function", {}), "output": None}} for call in details["tool_calls"]]
    )


def test_two_readings_of_one_response_are_one_run(corpus: Path) -> None:
    """A response that was read from its beginning, and again from its second event on: nothing of it changes."""
    found = recordings(corpus)
    name = "pydantic_pydantic-ai__test_background_mode_streaming_starting_after_vcr.i{}.sse"
    proc = fed(found[name.format(0)])
    states = _objects(proc)
    proc.open()
    proc.feed(found[name.format(1)])
    proc.close()

    assert states == _objects(proc)
    assert proc.runs[next(iter(proc.runs))].status == "completed"


def test_a_response_that_is_read_again_stays_as_it_is(corpus: Path) -> None:
    """From its beginning, in a new epoch, after all of it or half of it: as if it had been read once."""
    for name, data in recordings(corpus).items():
        expected = _objects(fed(data))
        for read in (data, data[: len(data) // 2]):
            proc = StreamProcessor("auto")
            proc.feed(read)
            proc.close()
            proc.open(epoch=2)
            proc.feed(data)
            proc.close()

            assert _objects(proc) == expected, name


def test_a_response_is_resumed_with_overlap(corpus: Path) -> None:
    """Broken off behind any event, and resumed from its second one: the same changes as without a break."""
    found = recordings(corpus)
    name = "pydantic_pydantic-ai__test_background_mode_streaming_starting_after_vcr.i{}.sse"
    whole, rest = found[name.format(0)], found[name.format(1)]
    expected = _seen(StreamProcessor("responses").feed(whole))
    for cut in _cuts(whole)[1:-1]:
        proc = StreamProcessor("responses")
        changes = proc.feed(cut)
        proc.resume()
        changes += proc.feed(rest)

        assert expected == _seen(changes)
        assert not proc.anomalies


def _objects(proc: StreamProcessor) -> list[Any]:
    return [wire(obj) for table in (proc.runs, proc.steps, proc.messages) for obj in table.values()]


def _seen(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    return [(change.event, change.id, change.revision, change.raw) for change in changes]


# --- the reviewed digest ----------------------------------------------------------------------------------------------


def digest(proc: StreamProcessor) -> dict[str, Any]:
    """What a reader can check against the recording, and no content of it."""
    return {
        "anomalies": ", ".join(f"{kind} {count}" for kind, count in sorted(proc.anomalies.items())),
        "runs": [_run_line(wire(run)) for run in proc.runs.values()],
        "steps": [_step_line(proc, wire(step)) for step in proc.steps.values()],
    }


def _run_line(run: Mapping[str, Any]) -> str:
    usage = run["usage"] or {}
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens")
    reasoning = usage.get("completion_tokens_details", {}).get("reasoning_tokens")
    counts = "/".join(str(usage.get(f"{what}_tokens")) for what in ("prompt", "completion", "total"))
    words = [run["status"], f"{counts} cached {cached} reasoning {reasoning}" if usage else "no usage"]
    words += [run["last_error"]["code"]] if run["last_error"] else []
    extras = run.get("extras", {})
    words += [f"{name}={len(extras[name])}" for name in ("reasoning", "items") if name in extras]
    return ", ".join(words)


def _step_line(proc: StreamProcessor, step: Mapping[str, Any]) -> str:
    details, extras = step["step_details"], step.get("extras", {})
    words = [step["status"], *(f"{name}={value}" for name, value in step["metadata"].items())]
    words += [f"reasoning={len(extras['reasoning'])}"] if "reasoning" in extras else []
    words += [f"usage={step['usage']['total_tokens']}"] if step["usage"] else []
    words += [f"also {' '.join(sorted(extras['item']))}"] if "item" in extras else []
    if details["type"] == "message_creation":
        message = wire(proc.messages[details["message_creation"]["message_id"]])
        return ", ".join(["message", message["status"], *words, *map(_block, message["content"])])
    return ", ".join([*map(_line_of_call, details["tool_calls"]), *words])


def _block(block: Mapping[str, Any]) -> str:
    return f"text={_hash(block['text']['value'])} annotations={len(block['text']['annotations'])}"


def _line_of_call(call: Mapping[str, Any]) -> str:
    if call["type"] == "code_interpreter":
        payload = call["code_interpreter"]
        return f"code_interpreter input={_hash(payload['input'])} outputs={len(payload['outputs'])}"
    if call["type"] == "file_search":
        return f"file_search results={len(call['file_search']['results'])}"
    function = call["function"]
    name = [function["name"]] if function["name"] not in (call["type"], "") else []
    output = [] if function["output"] is None else [f"output={_hash(function['output'])}"]
    return " ".join([call["type"], *name, f"arguments={_hash(function['arguments'])}", *output])


def _hash(text: str) -> str:
    return f"{len(text)}:{sha256(text.encode()).hexdigest()[:8]}"


def test_recordings_amount_to_what_was_reviewed(corpus: Path) -> None:
    """Each run and step, in order, with the anomalies on the way."""
    expected = json.loads(EXPECTED.read_text())
    found = {name: digest(fed(data)) for name, data in recordings(corpus).items()}

    assert expected == found


if __name__ == "__main__":
    made = {name: digest(fed(data)) for name, data in recordings(Path(sys.argv[1])).items()}
    EXPECTED.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")

"""Recorded Chat Completions streams: found out by themselves, and read as the published `openai` package reads them.

The recordings are not part of this repository, see the fixture `corpus`. What they amount to is kept in
expected/chat.json, one line an object: ids are left out, texts are their length and the start of their SHA-256. It was
checked against the recordings by eye; after an intended change of behaviour, write it anew with the following, and
check the difference:

    python -m tests.conformance.test_chat FOLDER
"""

import json
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from streamproc import StreamProcessor
from streamproc.core.dialect import detect
from streamproc.core.sse import SSEParser
from streamproc.dialects import ChatDialect
from streamproc.model.message import RefusalBlock
from streamproc.testing import check_dialect
from tests.conformance.readings import Call, Usage, read_chat
from tests.streams import wire

FILES: Final = 102
EXPECTED: Final = Path(__file__).with_name("expected") / "chat.json"
UNFRAMED: Final = frozenset(
    {
        "openai-php_client__ChatCompletionCreate.sse",
        "openai-php_client__ChatCompletionKeepAlive.sse",
        "openai-php_client__ChatCompletionPing.sse",
        "openai-php_client__CreateStreamedResponseFixture.sse",
    }
)
"""Stored without the blank lines between events, so by the standard each is one event that is no JSON."""

DIFFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "crmne_ruby_llm__chat_mistral_hybrid_reasoning_streams_thinking_separately_from_content.i0.sse": {
        "texts": "a piece of the answer stands in a content that is a list, which the package drops",
    },
    "pydantic_pydantic-ai__test_groq_model_web_search_tool_stream.i0.sse": {
        "usage": "it stands in x_groq alone",
    },
    "pydantic_pydantic-ai__test_openai_moderation_stream.i0.sse": {
        "usage": "a chunk without any follows the one that has it; the package takes the last chunk's",
    },
    "pydantic_pydantic-ai__test_openrouter_stream_error.i0.sse": {
        "usage": "it stands in the chunk with the error, at which the package raises",
        "is_finished": "an error follows the reason, so the run failed",
    },
    "simonw_llm__test_tools_streaming_variant_a.i0.sse": {
        "calls": "the package joins the id and the name, which are repeated, to ones that are twice as long",
    },
}
"""File -> what of it is read in another way, and why; everything else is read in the same way."""

TALKATIVE: Final = frozenset(
    {
        "microsoft_semantic-kernel__chat_completion_streaming_chatclient_multiple_function_calls_test_response.sse",
        "microsoft_semantic-kernel__chat_completion_streaming_multiple_function_calls_test_response.sse",
        "microsoft_semantic-kernel__filters_streaming_multiple_function_calls_test_response.sse",
    }
)
"""Each chunk has text, a call and a `finish_reason`, so that each could be the last."""

# --- reading ----------------------------------------------------------------------------------------------------------


def recordings(corpus: Path) -> dict[str, bytes]:
    """The recordings, with the blank line at the end that some were stored without."""
    return {path.name: _ended(path.read_bytes()) for path in sorted((corpus / "chat").glob("*.sse"))}


def _ended(data: bytes) -> bytes:
    return data if data.endswith((b"\n\n", b"\r\n\r\n")) else data + b"\n\n"


def fed(data: bytes, dialect: str = "auto") -> StreamProcessor:
    proc = StreamProcessor(dialect)
    proc.feed(data)
    proc.close()
    return proc


def theirs(data: bytes) -> dict[str, Any]:
    """The independent reading."""
    found = read_chat(data)
    kept = {"texts": found.texts, "refusals": found.refusals, "calls": found.calls, "usage": found.usage}
    return {**kept, "is_finished": bool(found.finish) and None not in found.finish}


def ours(proc: StreamProcessor, choices: int) -> dict[str, Any]:
    """What the states amount to, in the words of the independent reading."""
    messages = {id.rpartition(":")[2]: _message(proc, wire(step)) for id, step in proc.steps.items() if ":msg:" in id}
    texts = [messages.get(f"{index}", ("", "")) for index in range(choices)]
    runs = [wire(run) for run in proc.runs.values()]
    return {
        "texts": tuple(text for text, _ in texts),
        "refusals": tuple(refusal for _, refusal in texts),
        "calls": tuple(call for step in proc.steps.values() for call in _calls(wire(step))),
        "usage": tuple(_usage(run["usage"]) for run in runs if run["usage"]),
        "is_finished": any(run["status"] == "completed" for run in runs),
    }


def _message(proc: StreamProcessor, step: Mapping[str, Any]) -> tuple[str, str]:
    message = proc.messages[step["step_details"]["message_creation"]["message_id"]]
    refusals = [str(block.refusal) for block in message.content or () if isinstance(block, RefusalBlock)]
    return message.text, "".join(refusals)


def _calls(step: Mapping[str, Any]) -> Iterator[Call]:
    for call in step["step_details"].get("tool_calls", []):
        yield Call(call["type"], call["function"]["name"], call["function"]["arguments"], call["id"])


def _usage(usage: Mapping[str, Any]) -> Usage:
    given, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    counts = usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
    return Usage(*counts, given.get("cached_tokens"), made.get("reasoning_tokens"))


# --- the tests --------------------------------------------------------------------------------------------------------


def test_every_recording_is_found_out_by_itself(corpus: Path) -> None:
    """By its first event, also Azure's, which has no name; those that are unframed have none that is JSON."""
    found = recordings(corpus)
    for name, data in found.items():
        first = SSEParser().feed(data)[0]
        expected = None if name in UNFRAMED else "chat"
        payload = {} if name in UNFRAMED else json.loads(first.data)

        assert detect(first.event, payload) == expected, name

    assert len(found) == FILES


def test_every_recording_is_read_as_the_openai_package_reads_it(corpus: Path) -> None:
    """Texts, refusals, calls, usage and whether it was finished; what differs is listed, and does differ."""
    found: dict[str, set[str]] = {}
    for name, data in recordings(corpus).items():
        if name in UNFRAMED:
            continue
        expected = theirs(data)
        actual = ours(fed(data), len(expected["texts"]))
        if differing := {member for member in actual if actual[member] != expected[member]}:
            found[name] = differing

    assert {name: {*members} for name, members in DIFFERENCES.items()} == found


@pytest.mark.parametrize("name", sorted(UNFRAMED))
def test_an_unframed_recording_is_one_bad_event(corpus: Path, name: str) -> None:
    """It costs an anomaly and nothing else; with blank lines it is read as the package reads it."""
    data = recordings(corpus)[name]
    framed = data.replace(b"\n", b"\n\n")
    expected = theirs(framed)

    assert not fed(data).runs
    assert fed(data).anomalies == {"bad_json": 1, "truncated": 1}
    assert expected == ours(fed(framed), len(expected["texts"]))


@pytest.mark.slow
def test_recordings_keep_the_contract_of_dialects(corpus: Path) -> None:
    """Any split, damaged payloads, two streams at a time; a sample, since each is decoded some hundred times."""
    found = recordings(corpus)
    small = [data for name, data in found.items() if len(data) < 10_000 and name not in UNFRAMED]

    assert len(small) > 30
    check_dialect(ChatDialect, small)


@pytest.mark.slow
def test_no_cut_completes_what_was_not_completed(corpus: Path) -> None:
    """Cut behind each event: a step that is completed then is so in the whole recording, with no text less.

    Where each chunk says that the choice is finished, the first could be the last, and text is all that is missing.
    """
    less: set[str] = set()
    for name, data in recordings(corpus).items():
        proc = fed(data)
        whole = {id: (wire(step), _text(proc, wire(step))) for id, step in proc.steps.items()}
        for cut in _cuts(data):
            part = fed(cut)
            for id, step in part.steps.items():
                if step.status == "completed":
                    assert whole[id][0]["status"] == "completed", (name, len(cut))
                    if whole[id][1] != _text(part, wire(step)):
                        less.add(name)

    assert less == TALKATIVE


def _cuts(data: bytes) -> list[bytes]:
    """The recording up to each event; beyond the first hundred, up to every twentieth, and the last five."""
    ends = [at for at in range(len(data)) if data.startswith(b"\n\n", at)]
    last = len(ends) - 5
    return [data[: end + 2] for number, end in enumerate(ends) if number < 100 or number % 20 == 0 or number >= last]


def _text(proc: StreamProcessor, step: Mapping[str, Any]) -> str:
    details = step["step_details"]
    if details["type"] == "message_creation":
        return proc.messages[details["message_creation"]["message_id"]].text
    return json.dumps(details["tool_calls"])


# --- the reviewed digest ----------------------------------------------------------------------------------------------


def digest(proc: StreamProcessor) -> dict[str, Any]:
    """What a reader can check against the recording, and no content of it."""
    return {
        "anomalies": ", ".join(f"{kind} {count}" for kind, count in sorted(proc.anomalies.items())),
        "runs": [_run_line(wire(run)) for run in proc.runs.values()],
        "steps": [_step_line(proc, wire(step)) for step in proc.steps.values()],
    }


def _run_line(run: Mapping[str, Any]) -> str:
    words = [run["status"], f"model={run['model']}", *_usage_words(run["usage"])]
    words += [f"{name}={value}" for name, value in run["metadata"].items()]
    words += [f"error={run['last_error']['code']}"] if run["last_error"] else []
    words += [f"incomplete={run['incomplete_details']['reason']}"] if run["incomplete_details"] else []
    return ", ".join(words)


def _usage_words(usage: Mapping[str, Any] | None) -> list[str]:
    if usage is None:
        return ["no usage"]
    found = _usage(usage)
    words = [f"{found.input}/{found.output}/{found.total}"]
    words += [f"cached={found.cached}"] if found.cached else []
    return words + ([f"reasoning={found.reasoning}"] if found.reasoning else [])


def _step_line(proc: StreamProcessor, step: Mapping[str, Any]) -> str:
    details, extras = step["step_details"], step.get("extras", {})
    words = [step["status"], *(f"{name}={value}" for name, value in step["metadata"].items())]
    words += [_reasoning(item) for item in extras.get("reasoning", [])]
    words += [f"also {name}={len(value)}" for name, value in extras.items() if name != "reasoning"]
    words += [f"usage={step['usage']['total_tokens']}"] if step["usage"] else []
    words += [f"error={step['last_error']['code']}"] if step["last_error"] else []
    if details["type"] == "message_creation":
        message = wire(proc.messages[details["message_creation"]["message_id"]])
        return ", ".join(["message", message["status"], *words, *map(_block, message["content"])])
    return ", ".join([*map(_line_of_call, details["tool_calls"]), *words])


def _reasoning(item: Mapping[str, Any]) -> str:
    return f"{item['type']}={_hash(item.get('text', ''))}" + (" signed" if item.get("signature") else "")


def _block(block: Mapping[str, Any]) -> str:
    if block["type"] == "refusal":
        return f"refusal={_hash(block['refusal'])}"
    return f"text={_hash(block['text']['value'])} annotations={len(block['text']['annotations'])}"


def _line_of_call(call: Mapping[str, Any]) -> str:
    return f"{call['type']} {call['function']['name']} arguments={_hash(call['function']['arguments'])}"


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

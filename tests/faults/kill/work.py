"""What a life of the process has to do: streams of runs that are made up from a seed, and what must come of them.

A stream is one run after the other; run number n of a stream is the same bytes whenever it is asked for, so a life that
begins goes on with the first run that the one before did not see to its end. Every seventh run has an answer that is
large enough to fall behind in its row while it grows.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from streamproc import Event, Pipeline, StreamProcessor
from tests.faults.verdicts import states_of
from tests.streams import arguments, call, creation, done, message, run, sse, step, text, words

__all__ = ["STREAMS", "Generated", "all_stored", "run_bytes", "run_id", "run_states"]

STREAMS: Final = ("amber", "birch", "cedar", "dune")

_SYLLABLES: Final = ("ka", "lo", "mé", "ni ", "東", "ru\n", '"', "\\", "\U0001f600", "so", "ta ", "ß")
_LARGE_EVERY: Final = 7
_CHUNK_MAX: Final = 700


def run_id(stream: str, number: int) -> str:
    return f"run_{stream}_{number}"


def run_bytes(seed: int, stream: str, number: int) -> bytes:
    """The whole stream of one run."""
    return sse(*_events(Random(f"{seed}/{stream}/{number}"), f"{stream}_{number}", number % _LARGE_EVERY == 1))


def run_states(seed: int, stream: str, number: int) -> dict[str, Any]:
    """Id -> the state that the run, its steps and messages must have in the end, as JSON data."""
    proc = StreamProcessor()
    proc.feed(run_bytes(seed, stream, number))
    proc.close()
    return states_of(proc)


async def all_stored(pipeline: Pipeline) -> None:
    """Wait until the journal has what was read, so that leaving need not."""
    journal = pipeline._journal
    assert journal is not None
    while journal.pending:
        await checkpoint()


def _events(random: Random, name: str, is_large: bool) -> list[Event]:
    run_of, ids = f"run_{name}", {"run_id": f"run_{name}", "thread_id": f"thread_{name}"}
    own: dict[str, Any] = {"thread_id": f"thread_{name}", "assistant_id": "asst_1", "model": "gpt-4o"}
    found = [run("created", run_of, **own), run("in_progress", run_of, **own)]
    for number in range(random.randint(1, 3)):
        step_id = f"step_{name}_{number}"
        args = json.dumps({"q": _text(random, random.randint(4, 60)), "n": number}, ensure_ascii=False)
        found += [step("created", step_id, **ids), step("in_progress", step_id, **ids)]
        found.append(
            Event(
                "thread.run.step.delta",
                {
                    "id": step_id,
                    "object": "thread.run.step.delta",
                    "delta": {
                        "step_details": {
                            "type": "tool_calls",
                            "tool_calls": [call("", index=0, id=f"call_{name}_{number}", name="look_up")],
                        }
                    },
                },
            )
        )
        found += [arguments(piece, 0, step_id) for piece in _pieces(random, args, 12)]
        usage = {"prompt_tokens": 10, "completion_tokens": number, "total_tokens": 10 + number}
        asked = call(args, id=f"call_{name}_{number}", name="look_up", output="found")
        found.append(step("completed", step_id, asked, usage=usage, **ids))
    message_id, step_id = f"msg_{name}", f"step_{name}_answer"
    answer = _text(random, 14_000 if is_large else random.randint(10, 200))
    details = creation(message_id)
    found += [step("created", step_id, step_details=details, **ids), message("created", message_id, **ids)]
    found += [words(piece, 0, message_id) for piece in _pieces(random, answer, 160 if is_large else 12)]
    found.append(message("completed", message_id, text(answer, annotations=[]), **ids))
    found += [step("completed", step_id, step_details=details, **ids), run("completed", run_of, **own), done()]
    return found


def _text(random: Random, syllables: int) -> str:
    return "".join(random.choices(_SYLLABLES, k=syllables))


def _pieces(random: Random, value: str, size_max: int) -> list[str]:
    found: list[str] = []
    while value:
        size = random.randint(1, size_max)
        found.append(value[:size])
        value = value[size:]
    return found


class Generated:
    """One run of a stream as a source, in chunks that are cut anywhere; it can be read from its beginning again."""

    resumable = False
    repeatable = True

    def __init__(self, data: bytes, name: str, random: Random, first: Callable[[], None]) -> None:
        self.name = name
        self._data = data
        self._random = random
        self._first = first  # called between the first chunk and the second one

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        async with aclosing(self._chunks()) as chunks:
            yield chunks

    async def _chunks(self) -> AsyncGenerator[bytes]:
        at = 0
        while at < len(self._data):
            end = at + self._random.randint(1, _CHUNK_MAX)
            yield self._data[at:end]
            if at == 0:
                self._first()
            at = end
            await anyio.sleep(self._random.choice((0.0, 0.0, 0.0, 0.001, 0.002)))

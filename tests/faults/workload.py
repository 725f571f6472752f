"""The run that all faults happen to, and what it amounts to by its own account.

Some 20 kB: a code interpreter step with logs, a message whose text has more than ASCII in it, and parallel function
calls whose arguments come interleaved. It ends as completed, or waits for tool outputs with its last step open. What
must come of it is written down before it is cut into deltas, so no code under test has a say in it.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from msgspec import Struct

from streamproc import Event
from tests.streams import (
    arguments,
    call,
    code,
    creation,
    done,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    words,
)

__all__ = ["RUN_ID", "THREAD_ID", "Json", "Workload", "workload"]

Json: TypeAlias = Any

RUN_ID: Final = "run_1"
THREAD_ID: Final = "thread_1"

_PIECE: Final = 11  # characters in a fragment: none of the texts is a multiple of it
_CODE: Final = "import pandas as pd\nframe = pd.read_csv('/mnt/data/sales.csv')\nprint(frame.groupby('région').sum())\n"
_LOGS: Final = "région  total\nNord    1204.50\nSüd      877.25\n東       990.00\n"
_ANSWER: Final = (
    "Der Norden führt mit 1.204,50 €, dann 東 mit 990 €. \U0001f4c8 "
    'Soll ich "alle" Kunden in C:\\Kunden anschreiben?\n\n'
) * 5
_CALLS: Final = tuple(
    (f"call_{number}", name, json.dumps({"city": city, "days": number + 1, "unit": "°C"}, ensure_ascii=False))
    for number, (name, city) in enumerate((("weather", "Łódź"), ("traffic", "São Paulo"), ("mail", '"Ost" \\ West')))
)


class Workload(Struct, frozen=True):
    """A run as a server has it: the events of its stream, and the objects that it answers questions with."""

    events: Sequence[Event]
    run: Json
    steps: Sequence[Json]
    messages: Sequence[Json]

    @property
    def truth(self) -> Mapping[str, Json]:
        """Id -> the object as it must be in the end, as JSON data."""
        return {item["id"]: item for item in (*self.steps, *self.messages, self.run)}

    def blocks(self, *, with_ids: bool = False) -> list[bytes]:
        """The stream, one item an event; ids count from 1."""
        plain = [sse(item) for item in self.events]
        return [b"id: %d\n%b" % (number, block) for number, block in enumerate(plain, 1)] if with_ids else plain

    def stream(self, *, with_ids: bool = False) -> bytes:
        return b"".join(self.blocks(with_ids=with_ids))


def workload(*, asks: bool) -> Workload:
    """The run that ends by asking for tool outputs, or the one that completes."""
    logs = {"type": "logs", "logs": _LOGS}
    code_1 = step("completed", "step_1", code(_CODE, id="code_1", outputs=[logs]), **_usage(1, 310))
    message_1 = message("completed", "msg_1", text(_ANSWER, annotations=[]), completed_at=1_700_000_020)
    creation_1 = step("completed", "step_2", step_details=creation("msg_1"), **_usage(2, 95))
    asked = [call(value, id=id, name=name) for id, name, value in _CALLS]
    answered = [call(value, id=id, name=name, output=f"ok, {id}") for id, name, value in _CALLS]
    events = [
        run("created"),
        run("queued"),
        run("in_progress", started_at=1_700_000_001),
        step("created", "step_1"),
        step("in_progress", "step_1"),
        step_delta(code("", index=0, id="code_1", outputs=[])),
        *(step_delta(code(piece, index=0)) for piece in _pieces(_CODE)),
        *(step_delta(code(index=0, outputs=[{**logs, "index": 0, "logs": piece}])) for piece in _pieces(_LOGS)),
        code_1,
        step("created", "step_2", step_details=creation("msg_1")),
        step("in_progress", "step_2", step_details=creation("msg_1")),
        message("created"),
        message("in_progress"),
        message_delta(text("", index=0, annotations=[])),
        *(words(piece) for piece in _pieces(_ANSWER)),
        message_1,
        creation_1,
        step("created", "step_3"),
        step("in_progress", "step_3"),
        *(
            step_delta(call("", index=index, id=id, name=name), id="step_3")
            for index, (id, name, _) in enumerate(_CALLS)
        ),
        *_interleaved(),
    ]
    if asks:
        open_step = step("in_progress", "step_3", *asked).data  # no snapshot ends it on this stream
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": asked}}
        last = run("requires_action", started_at=1_700_000_001, required_action=action)
    else:
        done_3 = step("completed", "step_3", *answered, **_usage(3, 140))
        open_step = done_3.data
        last = run("completed", started_at=1_700_000_001, completed_at=1_700_000_030, **_usage(0, 545))
        events.append(done_3)
    events += [last, done()]
    return Workload(events, last.data, [code_1.data, creation_1.data, open_step], [message_1.data])


def _usage(number: int, tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 10 * tokens, "completion_tokens": tokens, "total_tokens": 11 * tokens}
    return {"usage": usage, "metadata": {"part": str(number)}}


def _pieces(value: str) -> list[str]:
    return [value[start : start + _PIECE] for start in range(0, len(value), _PIECE)]


def _interleaved() -> list[Event]:
    rounds = zip_longest(*(_pieces(value) for _, _, value in _CALLS))
    return [
        arguments(piece, index, "step_3")
        for pieces in rounds
        for index, piece in enumerate(pieces)
        if piece is not None
    ]

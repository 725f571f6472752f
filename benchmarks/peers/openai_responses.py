"""The openai package's Responses helper without a text format: it merges, and gives out a typed event for each one."""

from collections.abc import Sequence
from typing import Any

import openai
from openai.lib.streaming.responses import ResponseStreamManager
from openai.types.responses import ParsedResponse, ResponseStreamEvent

from benchmarks.dialect_streams import CALLS, MESSAGES
from benchmarks.peers.openai_client import open_stream
from benchmarks.peers.process import main
from benchmarks.writer import Texts


def accumulate(chunks: Sequence[bytes]) -> ParsedResponse[Any]:
    """Read a whole stream and return the final response."""
    manager: ResponseStreamManager[Any] = ResponseStreamManager(
        lambda: open_stream(chunks, ResponseStreamEvent),
        text_format=openai.omit,
        input_tools=openai.omit,
        starting_after=None,
    )
    with manager as stream:
        return stream.get_final_response()


def texts_of(response: ParsedResponse[Any]) -> Texts:
    """What a workload keeps beside its stream."""
    output = [item.to_dict(mode="json", warnings=False) for item in response.output]
    contents: list[Any] = [item["content"] for item in output if item["type"] == "message"]
    return {
        CALLS: [str(item["arguments"]) for item in output if item["type"] == "function_call"],
        MESSAGES: ["".join(part["text"] for part in content) for content in contents],
    }


if __name__ == "__main__":
    main(openai.__version__, accumulate, lambda chunks: texts_of(accumulate(chunks)))

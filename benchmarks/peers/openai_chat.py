"""The openai package's chat helper without a format: it merges, and gives out a snapshot with each chunk."""

from collections.abc import Sequence
from typing import Any

import openai
from openai.lib.streaming.chat import ChatCompletionStreamManager
from openai.types.chat import ChatCompletionChunk, ParsedChatCompletion

from benchmarks.dialect_streams import CALLS, MESSAGES
from benchmarks.peers.openai_client import open_stream
from benchmarks.peers.process import main
from benchmarks.writer import Texts


def accumulate(chunks: Sequence[bytes]) -> ParsedChatCompletion[Any]:
    """Read a whole stream and return the final completion."""
    manager: ChatCompletionStreamManager[Any] = ChatCompletionStreamManager(
        lambda: open_stream(chunks, ChatCompletionChunk), response_format=openai.omit, input_tools=openai.omit
    )
    with manager as stream:
        return stream.get_final_completion()


def texts_of(completion: ParsedChatCompletion[Any]) -> Texts:
    """What a workload keeps beside its stream."""
    messages = [choice.message for choice in completion.choices]
    return {
        CALLS: [call.function.arguments for message in messages for call in message.tool_calls or ()],
        MESSAGES: [message.content or "" for message in messages],
    }


if __name__ == "__main__":
    main(openai.__version__, accumulate, lambda chunks: texts_of(accumulate(chunks)))

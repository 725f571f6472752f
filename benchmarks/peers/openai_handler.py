"""The openai package's AssistantEventHandler without hooks: it merges, and holds a snapshot after each event."""

from collections.abc import Sequence

import openai
from openai.lib.streaming import AssistantEventHandler, AssistantStreamManager

from benchmarks.checks import texts_of
from benchmarks.peers.openai_client import open_stream
from benchmarks.peers.process import main
from benchmarks.writer import Texts


def _work(chunks: Sequence[bytes]) -> AssistantEventHandler:
    with AssistantStreamManager(lambda: open_stream(chunks), event_handler=AssistantEventHandler()) as handler:
        handler.until_done()
    return handler


def _texts(chunks: Sequence[bytes]) -> Texts:
    handler = _work(chunks)
    try:
        messages = handler.get_final_messages()
    except RuntimeError:  # it raises when there are none
        messages = []
    held = [obj.to_dict(mode="json", warnings=False) for obj in (*messages, *handler.get_final_run_steps())]
    return {str(obj["id"]): texts_of(obj) for obj in held}


if __name__ == "__main__":
    main(openai.__version__, _work, _texts)

"""The openai package's raw stream: typed events, nothing merged."""

from collections import deque
from collections.abc import Sequence

import openai

from benchmarks.peers.openai_client import open_stream
from benchmarks.peers.process import main, merge
from benchmarks.writer import Texts


def _work(chunks: Sequence[bytes]) -> None:
    deque(open_stream(chunks), maxlen=0)


def _texts(chunks: Sequence[bytes]) -> Texts:
    texts: Texts = {}
    for event in open_stream(chunks):
        merge(texts, event.event, event.data.to_dict())
    return texts


if __name__ == "__main__":
    main(openai.__version__, _work, _texts)

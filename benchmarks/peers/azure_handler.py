"""azure-ai-agents' AgentEventHandler: typed events given to hooks that do nothing; nothing merged. It needs LF."""

from collections.abc import Sequence
from importlib.metadata import version

from azure.ai.agents.models import AgentEventHandler

from benchmarks.peers.process import main, merge
from benchmarks.writer import Texts


def _open(chunks: Sequence[bytes]) -> AgentEventHandler[None]:
    handler: AgentEventHandler[None] = AgentEventHandler()
    handler.initialize(iter(chunks), lambda *_: None)
    return handler


def _work(chunks: Sequence[bytes]) -> None:
    _open(chunks).until_done()


def _texts(chunks: Sequence[bytes]) -> Texts:
    texts: Texts = {}
    for name, data, _ in _open(chunks):
        if hasattr(data, "as_dict"):
            merge(texts, name, data.as_dict())
    return texts


if __name__ == "__main__":
    main(version("azure-ai-agents"), _work, _texts)

"""streamproc itself on another dialect, feed to changes; the dialect's name is the last argument."""

import sys
from collections.abc import Sequence

from benchmarks.checks import held_texts
from benchmarks.peers.process import main
from streamproc import StreamProcessor, __version__

_DIALECT = sys.argv.pop()


def _work(chunks: Sequence[bytes]) -> StreamProcessor:
    proc = StreamProcessor(_DIALECT)
    for chunk in chunks:
        proc.feed(chunk)
    proc.close()
    return proc


if __name__ == "__main__":
    main(__version__, _work, lambda chunks: held_texts(_work(chunks)))

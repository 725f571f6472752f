"""streamproc itself, feed to changes; with `states` as a last argument, the state of every change is read as well."""

import sys
from collections.abc import Sequence

from benchmarks.checks import merged_texts
from benchmarks.peers.process import main
from benchmarks.writer import Texts
from streamproc import StreamProcessor, __version__


def _work(chunks: Sequence[bytes]) -> None:
    proc = StreamProcessor()
    for chunk in chunks:
        proc.feed(chunk)
    proc.close()


def _work_reading_states(chunks: Sequence[bytes]) -> None:
    proc = StreamProcessor()
    for chunk in chunks:
        for change in proc.feed(chunk):
            _ = change.state
    proc.close()


def _texts(chunks: Sequence[bytes]) -> Texts:
    proc = StreamProcessor()
    return merged_texts([change for chunk in chunks for change in proc.feed(chunk)])


if __name__ == "__main__":
    if sys.argv[-1] == "states":
        sys.argv.pop()
        main(__version__, _work_reading_states, _texts)
    else:
        main(__version__, _work, _texts)

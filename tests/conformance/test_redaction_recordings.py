"""Redaction of recorded streams: every delta is still one, and next to nothing in them is taken for a secret."""

from pathlib import Path

import pytest

from streamproc import StreamProcessor
from streamproc.redaction import Redaction
from streamproc.redaction.changes import Redactor

_LARGEST = 3_000_000  # bytes


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["assistants", "chat", "responses"])
def test_recordings_stay_what_they_are(corpus: Path, dialect: str) -> None:
    """Fewer than one final state in a hundred has something masked; no recording is known to hold a secret."""
    finals = masked = 0
    for path in sorted((corpus / dialect).glob("*.sse")):
        if path.stat().st_size > _LARGEST:
            continue
        proc, redactor = StreamProcessor(dialect), Redactor(Redaction().rules)
        for change in proc.feed(path.read_bytes()) + proc.close():
            shown = redactor.change(change)
            assert (change.is_delta, change.seq, change.revision) == (shown.is_delta, shown.seq, shown.revision)
            if change.note.ended:
                finals += 1
                masked += change.state != shown.state

    assert finals > 0
    assert masked * 100 < finals

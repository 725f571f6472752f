"""What people are told on stderr."""

import pytest

from streamproc.cli.notes import MEANINGS, note, note_anomalies
from streamproc.core.anomalies import ANOMALY_KINDS


def test_each_kind_of_anomaly_has_a_meaning() -> None:
    """The list is closed, so none may be missing."""
    assert list(MEANINGS) == list(ANOMALY_KINDS)


def test_note_is_one_safe_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it quotes."""
    note("run.sse: \x1b[2J" + "x\n" * 5000)
    told = capsys.readouterr().err

    assert told.startswith("streamproc: run.sse: [2Jx x")
    assert told.endswith("...\n")
    assert (told.count("\n"), told.count("\x1b")) == (1, 0)


def test_anomalies_are_at_most_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The commonest first; the rest is one figure."""
    note_anomalies("run.sse", {kind: number for number, kind in enumerate(ANOMALY_KINDS, 1)})
    head, *kinds, rest = capsys.readouterr().err.splitlines()

    assert head == f"streamproc: run.sse: {sum(range(1, 16)) - 13} anomalies"
    assert [int(line.split()[0]) for line in kinds] == [15, 14, 12, 11, 10, 9, 8, 7]
    assert rest.split() == ["21", "of", "6", "other", "kinds"]


@pytest.mark.parametrize("counts", [{}, {"truncated": 1}, {"bad_json": 0}])
def test_nothing_to_tell(capsys: pytest.CaptureFixture[str], counts: dict[str, int]) -> None:
    """A truncation has a line of its own, elsewhere."""
    note_anomalies("run.sse", counts)

    assert capsys.readouterr().err == ""

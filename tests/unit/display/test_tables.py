"""The table of steps: rows, sections and colours."""

from streamproc import StreamProcessor
from streamproc.core.change import NO_NOTE, Note
from streamproc.display.tables import status_text, steps_table
from tests.streams import call, sse, step


def test_each_call_has_a_row_and_each_step_a_section() -> None:
    """The id and the status of a step stand in its first row alone."""
    proc = StreamProcessor()
    proc.feed(sse(step("created", "step_1", call("{}", name="f"), call("{}", name="g")), step("created", "step_2")))
    table = steps_table([(state, NO_NOTE) for state in proc.steps.values()], {}, 100)

    assert [str(cell) for cell in table.columns[0].cells] == ["step_1", "", "step_2"]
    assert [str(cell) for cell in table.columns[1].cells] == ["f", "g", ""]
    assert [row.end_section for row in table.rows] == [False, True, True]


def test_status_has_its_colour_and_what_is_known_beside() -> None:
    """An unknown status is plain."""
    text = status_text("failed", Note(truncated=True))

    assert (text.plain, text.style, status_text("odd", NO_NOTE).style) == ("failed\n(cut off)", "red", "")

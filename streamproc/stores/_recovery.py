"""What is done when a store is opened: rows that fell behind are brought up to the journal.

A process that leaves writes them itself; one that died could not. A reducer of our own does for those few objects what
the one that died had done.
"""

import sqlite3

from streamproc.core.change import Change
from streamproc.core.reducer import Reducer
from streamproc.stores._growing import Key, key_of
from streamproc.stores._objects import StateRow, state_row
from streamproc.stores._reading import changes_of, growing_objects

__all__ = ["late_states"]


def late_states(connection: sqlite3.Connection) -> list[tuple[StateRow, int]]:
    """The states that rows lack, with their positions.

    Raises:
        StoreError: the journal is damaged where it is needed.
    """
    objects, since = growing_objects(connection)
    if not objects:
        return []
    reducer = Reducer()
    reducer.restore(objects)
    last: dict[Key, tuple[Change, int]] = {}
    for position, change in changes_of(connection, {(one.kind, one.id) for one in objects}, since):
        for view in reducer.restore((), (change,)):
            last[key_of(view)] = view, position
    return [(state_row(change, had_snapshot=False), position) for change, position in last.values()]

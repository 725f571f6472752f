"""What earlier changes of a run or a step said that its final one does not: when it was first heard of, and for the
steps of a run its model. The newest are remembered; what was forgotten is as unknown as if it had never been said.
"""

from collections import OrderedDict
from typing import Final, TypeVar

from streamproc.core.change import Change
from streamproc.model.run import Run
from streamproc.sinks._otlp_values import SHORT_CHARS

__all__ = ["Heard"]

K = TypeVar("K")

_MAX_OBJECTS: Final = 10_000


class Heard:
    """Remembers what was heard of objects, the newest `max_objects` of each kind.

    It stays when it was asked for, as the object may come again.
    """

    def __init__(self, max_objects: int = _MAX_OBJECTS) -> None:
        self._max_objects = max_objects
        self._first_at: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._models: OrderedDict[str, str] = OrderedDict()

    def note(self, change: Change) -> None:
        """Take note of any change."""
        kind = change.kind
        if (kind != "run" and kind != "step") or len(change.id) > SHORT_CHARS:  # no server gives such ids
            return
        at = change.at
        if at is not None and not change.is_final and (kind, change.id) not in self._first_at:
            self._keep(self._first_at, (kind, change.id), at)
        if kind == "run" and change.id not in self._models:
            state = change.state
            if isinstance(state, Run) and isinstance(state.model, str) and state.model:
                self._keep(self._models, change.id, state.model[: SHORT_CHARS + 1])  # one more shows that it is cut

    def first_at(self, change: Change) -> str | None:
        """When the first change of the object came in (RFC 3339)."""
        return self._first_at.get((change.kind, change.id))

    def model(self, run_id: str | None) -> str | None:
        """The model of a run."""
        return None if run_id is None else self._models.get(run_id)

    def _keep(self, known: OrderedDict[K, str], key: K, value: str) -> None:
        known[key] = value
        if len(known) > self._max_objects:
            known.popitem(last=False)

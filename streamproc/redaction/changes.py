"""Redactor: changes in, the same changes without secrets out.

The rules of the game:

* A change that shows an object shows its state redacted: a text that may still grow as far as it is sure. Whenever that
  is asked for, it is the same, since it follows from the state alone.
* A delta shows what it adds to that. For this the redactor remembers of each open object what its texts have come to:
  a few characters each, in a table that forgets the object that was quiet for longest.
* A delta of an object that it does not know, or whose place is unclear, is told by the object's state: as a snapshot.
  So is the first one read back from a journal; as that shows the newest stored state, what follows adds nothing to it.
* An anomaly keeps its name and loses its payload: what was refused may be the piece of a secret.
"""

from typing import Any, Final

import msgspec

from streamproc.core.anomalies import Anomaly
from streamproc.core.body import Body
from streamproc.core.change import Change
from streamproc.core.events import CLASSES, EVENT_NAMES
from streamproc.core.place import Around
from streamproc.model.thread import ErrorObject
from streamproc.model.wire import attach_wire, from_wire
from streamproc.redaction.growing import Known, Texts, Touched, Unclear
from streamproc.redaction.objects import plain, state
from streamproc.redaction.rules import Rules
from streamproc.redaction.scanner import redacted

__all__ = ["Redactor"]

_OBJECTS_MAX: Final = 1_024
_PLACES_MAX: Final = 256  # of one object
_REFUSING: Final = frozenset({"id_conflict", "index_gap", "index_invalid", "limit"})
"""Anomalies that say that some of a delta was refused, or went elsewhere."""
_PROBE: Final = "\0"
_PROBE_LITERAL: Final = msgspec.json.encode(_PROBE)

_decode: Final = msgspec.json.decode
_encode: Final = msgspec.json.encode
_decode_text: Final = msgspec.json.Decoder(str).decode


class _OpenBody(Body):
    """The states of an open object, redacted when somebody looks: those of another body."""

    __slots__ = ("_of", "_rules")

    def __init__(self, of: Body, rules: Rules) -> None:
        super().__init__(of.kind, of.id, of.run_id, of.thread_id, b"")
        self._of = of
        self._rules = rules

    def data(self, rev: int) -> dict[str, Any]:
        return state(self._rules, self._of.data(rev), is_open=True)

    def wire(self, rev: int) -> bytes:
        return _encode(self.data(rev))

    def state(self, rev: int) -> Any:
        data = self.data(rev)
        made = from_wire(CLASSES[self.kind], data)
        attach_wire(made, lambda: self.wire(rev))
        return made


class _Object:
    """What is remembered of an open object."""

    __slots__ = ("body", "places", "revision", "texts", "view")

    def __init__(self, body: Body, rules: Rules, revision: int) -> None:
        self.body = body
        self.view = _OpenBody(body, rules)
        self.revision = revision  # as of which all is known
        self.texts: Texts | None = None  # looked for when the first delta comes
        self.places: dict[int, Known] = {}  # by the identity of what is around the text


class Redactor:
    """Redacts the changes that one reader gets, in their order."""

    def __init__(self, rules: Rules, *, objects_max: int = _OBJECTS_MAX) -> None:
        self._rules = rules
        self._objects: dict[tuple[str, str], _Object] = {}  # the one that was quiet for longest comes first
        self._objects_max = objects_max
        self._last: tuple[str, str] = ("", "")

    def change(self, change: Change) -> Change:
        """The change as the reader may see it.

        Raises:
            Exception: what it holds is nested too deep to be followed, or was made by hand of what is no JSON. The
                object is forgotten then.
        """
        try:
            return self._change(change)
        except Exception:
            self._objects.pop((change.kind, change.id), None)
            raise

    def _change(self, change: Change) -> Change:
        if change.kind == "anomaly":
            return self._anomaly(change)
        if change.kind == "error":
            return self._error(change)
        key = change.kind, change.id
        if change.note.ended or change.kind == "run":
            self._objects.pop(key, None)
            return self._snapshot(change, None)
        known = self._objects.get(key)
        if not change.is_delta:
            if known is None or known.body is not change.body or known.revision + 1 != change.revision:
                known = self._remember(key, change, change.revision)
            known.revision = change.revision
            return self._snapshot(change, known.view)
        return self._delta(change, key, known)

    # -- deltas ---------------------------------------------------------------------------------------------------

    def _delta(self, change: Change, key: tuple[str, str], known: _Object | None) -> Change:
        body, revision = change.body, change.revision
        is_next = known is not None and known.revision + 1 == revision
        if known is None or not is_next or known.body is not body:
            before, known = known, self._remember(key, change, revision - 1)
            if not (revision == 1 or (is_next and before is not None)) or body.tree is None:
                return self._told_by_state(change, known)
            if before is not None and is_next and not self._go_on(known, before):
                return self._told_by_state(change, known)
        if self._last != key:
            self._objects[key] = self._objects.pop(key)
            self._last = key
        place = known.places.get(id(change.around))
        if place is not None and change.data is None and known.texts is not None:
            piece = _encode(place.text.feed(_decode_text(change.piece)))
            known.revision = revision
            return Change(
                change.origin, change.seq, change.event, known.view, revision, None, piece, change.note, place.shown
            )
        try:
            return self._walked(change, known)
        except Unclear:
            known.texts, known.places = None, {}
            return self._told_by_state(change, known)

    def _walked(self, change: Change, known: _Object) -> Change:
        """A delta, member by member.

        Raises:
            Unclear: it cannot be told what it adds to.
        """
        is_silent = change.body.tree is None  # of a journal: the state of the first one had it all
        texts = known.texts
        if texts is None:
            texts = known.texts = Texts.of(self._rules, change.body, change.revision - 1)
        if texts.is_odd:
            raise Unclear
        payload: dict[str, Any] = _decode(change.raw) if change.data is None else change.data
        delta = payload.get("delta")
        touched: list[Touched] = []
        others = {name: value for name, value in payload.items() if name != "delta"}
        shown = state(self._rules, others, is_open=False)
        if isinstance(delta, dict):
            shown["delta"], touched = texts.delta(delta, is_silent=is_silent)
        known.revision = change.revision
        around, piece = None, b""
        if change.around is not None and len(touched) == 1:
            around, piece = self._placed(change.around, shown, touched[0], known)
        return _with_payload(change, known.view, shown, around, piece)

    def _placed(
        self, around: Around, shown: dict[str, Any], touched: Touched, known: _Object
    ) -> tuple[Around | None, bytes]:
        """Note what payloads with the same surroundings look like; returns those redacted, and the text."""
        text = touched.holder[touched.name]
        touched.holder[touched.name] = _PROBE
        before, probe, after = _encode(shown).partition(_PROBE_LITERAL)
        touched.holder[touched.name] = text
        if _PROBE_LITERAL in after or not probe:
            return None, b""
        if len(known.places) >= _PLACES_MAX:
            known.places.clear()
        place = known.places[id(around)] = Known(around, touched.text, Around(before, after))
        return place.shown, _encode(text)

    def _go_on(self, known: _Object, before: _Object) -> bool:
        """Take over what was shown of another body of the same object; returns whether that is clear."""
        if before.texts is None:
            before.texts = Texts.of(self._rules, before.body, before.revision)
        texts = known.texts = Texts.of(self._rules, known.body, known.revision)
        texts.after(before.texts)
        return not (texts.is_sparse or texts.is_odd or before.texts.is_odd or before.texts.is_sparse)

    def _told_by_state(self, change: Change, known: _Object) -> Change:
        known.revision = change.revision
        known.texts, known.places = None, {}
        return self._snapshot(change.as_snapshot(), known.view)

    def _remember(self, key: tuple[str, str], change: Change, revision: int) -> _Object:
        self._objects.pop(key, None)
        if len(self._objects) >= self._objects_max:
            del self._objects[next(iter(self._objects))]
        known = self._objects[key] = _Object(change.body, self._rules, revision)
        self._last = key
        return known

    # -- all others -----------------------------------------------------------------------------------------------

    def _snapshot(self, change: Change, view: Body | None) -> Change:
        """A change that shows an object's state; `view` is there while its texts may grow."""
        rules, body = self._rules, change.body
        if change.is_delta:  # of an object that has ended: its state says it all
            change = change.as_snapshot()
        shown: dict[str, Any] | None = None
        if change.data is not None or change.piece or change.around is not None:
            payload = _decode(change.raw) if change.data is None else change.data
            shown = state(rules, payload, is_open=view is not None)
        if view is None or body.tree is None:
            is_all = shown is not None and body.tree is None and change.data is None and change.raw == body.raw
            data = shown if is_all else state(rules, body.data(change.revision), is_open=view is not None)
            view = Body(body.kind, body.id, body.run_id, body.thread_id, _encode(data))
        change = msgspec.structs.replace(change, event=self._event(change.event))
        if shown is None:
            return Change(change.origin, change.seq, change.event, view, change.revision, note=change.note)
        return _with_payload(change, view, shown)

    def _anomaly(self, change: Change) -> Change:
        rules, said = self._rules, change.data
        if said is None:  # as those get it who want no deltas
            return msgspec.structs.replace(change, event=self._event(change.event), piece=b"", around=None)
        if said.kind in _REFUSING:
            for kind in ("step", "message"):
                self._objects.pop((kind, change.id), None)  # what became of the delta, only the state tells
        shown = Anomaly(
            kind=said.kind, event=redacted(rules, said.event), id=said.id, detail=redacted(rules, said.detail)
        )
        return Change(change.origin, change.seq, self._event(change.event), change.body, 0, shown, b"", change.note)

    def _error(self, change: Change) -> Change:
        rules, said = self._rules, change.data
        texts = {name: plain(rules, getattr(said, name)) for name in ErrorObject.__struct_fields__}
        try:
            piece = _encode(plain(rules, _decode(change.raw))) if change.piece else b""
        except (msgspec.MsgspecError, ValueError, RecursionError):
            piece = b""
        return Change(
            change.origin,
            change.seq,
            self._event(change.event),
            change.body,
            change.revision,
            ErrorObject(**texts),
            piece,
            change.note,
        )

    def _event(self, name: str) -> str:
        return name if name in EVENT_NAMES else redacted(self._rules, name)


def _with_payload(
    change: Change, body: Body, payload: dict[str, Any], around: Around | None = None, piece: bytes = b""
) -> Change:
    data: Any = None
    if around is None:
        try:
            piece = _encode(payload)
        except ValueError:  # half a surrogate pair, in a payload that was made by hand
            data = payload
    return Change(change.origin, change.seq, change.event, body, change.revision, data, piece, change.note, around)

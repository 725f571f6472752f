"""What one input brought: counts, and what makes its exit code 1."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import UNSET

from streamproc.cli.exits import Exit
from streamproc.cli.notes import note, note_anomalies
from streamproc.core.change import Change
from streamproc.core.dialect import dialect_names

__all__ = ["Tally"]

_MAX_TOLD: Final = 5  # failed runs and errors that are told one by one
_MAX_SAID: Final = 240  # characters of what the server said


@dataclass(slots=True)
class Tally:
    """Counts of one input."""

    name: str
    size: int = 0  # bytes read
    changes: int = 0
    ids: dict[str, set[str]] = field(default_factory=lambda: {"run": set(), "step": set(), "message": set()})
    anomalies: Mapping[str, int] = field(default_factory=dict[str, int])
    truncated: bool = False
    failed: dict[str, str] = field(default_factory=dict[str, str])  # run id -> why
    errors: int = 0  # that the server sent
    said: list[str] = field(default_factory=list[str])  # in the first of them
    nothing: str = ""  # why there was no event in it
    stopped: str = ""  # why it was not read to its end
    seconds: float = 0.0

    def count(self, changes: Iterable[Change]) -> None:
        """Take note of some changes."""
        for change in changes:
            self.changes += 1
            body = change.body
            if body.kind in self.ids:
                self.ids[body.kind].add(body.id)
                if body.kind == "run" and (run := change.state).status == "failed":  # its word, not the event's name
                    self.failed[body.id] = _said(run.last_error)
            elif body.kind == "error":
                self.errors += 1
                if self.errors <= _MAX_TOLD:
                    self.said.append(_said(change.data))

    @property
    def is_foreign(self) -> bool:
        """Whether there were events, and none of them was one of the dialect's."""
        return not any(self.ids.values()) and not self.errors and bool(self.anomalies.get("unknown_event"))

    @property
    def code(self) -> Exit:
        bad = (
            self.is_foreign
            or self.failed
            or self.errors
            or self.truncated
            or self.nothing
            or self.stopped
            or self.anomalies.get("bad_json")
        )
        return Exit.DATA if bad else Exit.OK

    def tell(self) -> None:
        """Tell people what was odd or wrong; nothing when all went well."""
        if self.nothing:
            note(f"{self.name}: {self.nothing}")
            return
        for run_id, why in list(self.failed.items())[:_MAX_TOLD]:
            note(f"{self.name}: run {run_id} failed{why and f': {why}'}")
        if len(self.failed) > _MAX_TOLD:
            note(f"{self.name}: {len(self.failed) - _MAX_TOLD} more runs failed")
        for error in self.said:
            note(f"{self.name}: the server sent an error{error and f': {error}'}")
        if self.errors > _MAX_TOLD:
            note(f"{self.name}: {self.errors - _MAX_TOLD} more errors from the server")
        if self.is_foreign:
            known = ", ".join(name for name in dialect_names() if name != "auto")
            note(f"{self.name}: no event that could be understood; is it another dialect? known are {known}")
        if self.stopped:
            note(f"{self.name}: {self.stopped}; what came before is merged")
        elif self.truncated and not self.is_foreign:
            note(f"{self.name}: truncated: the stream ends before its run does; what came is merged")
        note_anomalies(self.name, self.anomalies)

    def summary(self) -> dict[str, Any]:
        """The line of `--output summary`."""
        summary: dict[str, Any] = {
            "file": self.name,
            "bytes": self.size,
            "changes": self.changes,
            "runs": len(self.ids["run"]),
            "steps": len(self.ids["step"]),
            "messages": len(self.ids["message"]),
            "anomalies": dict(self.anomalies),
            "truncated": self.truncated,
            "seconds": round(self.seconds, 6),
            "mb_per_s": round(self.size / 1e6 / self.seconds, 1) if self.seconds else 0.0,
        }
        if error := self.nothing or self.stopped:
            summary["error"] = error
        return summary


def _said(error: object) -> str:
    """The code and the message of an error, as far as the server gave them; the type stands in for a code."""
    code = getattr(error, "code", UNSET)
    if not isinstance(code, str):
        code = getattr(error, "type", UNSET)
    parts = (code, getattr(error, "message", UNSET))
    text = ": ".join(part for part in parts if isinstance(part, str) and part)
    return text if len(text) <= _MAX_SAID else f"{text[:_MAX_SAID]}..."

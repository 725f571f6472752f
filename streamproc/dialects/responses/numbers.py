"""Sequence numbers: where a response can be resumed, and what came twice.

They count the events of one response. After a reconnect the server may start a little earlier than asked; what is
known already is dropped. Some servers send the same number always, or go back without a reconnect: then numbers are
no longer trusted on that stream, and nothing is dropped.
"""

from typing import Literal

__all__ = ["SequenceNumbers"]


class SequenceNumbers:
    """The numbers of one response after the other.

    Attributes:
        last: the newest one of this response; None before the first.
        trusted: whether they only went up so far, reconnects apart.
        out_of_order: how many did not, without a reconnect, of all responses.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.trusted = True
        self.out_of_order = 0
        self._resumed = False

    def restart(self) -> None:
        """The next events are those of another response."""
        self.last = None
        self.trusted = True
        self._resumed = False

    def resume(self) -> None:
        """The next events come over another connection and may overlap with those before it."""
        self._resumed = True

    def note(self, number: object) -> Literal["new", "overlap", "distrusted", "repeat"]:
        """Take the number of an event; "distrusted" for the first that is out of order, "repeat" for later ones.

        Only "overlap" says that the event is known.
        """
        if type(number) is not int:
            return "new"
        if self.last is None or number > self.last:
            self.last = number
            self._resumed = False
            return "new"
        if self.trusted and self._resumed:
            return "overlap"
        self.out_of_order += 1
        if not self.trusted:
            return "repeat"
        self.trusted = False
        return "distrusted"

    def advance(self, number: int | None) -> bool:
        """The same for the commonest event; False, and no change, when `note` has to look at it."""
        if number is not None:
            last = self.last
            if last is None or number > last:
                self.last = number
                self._resumed = False
            elif self.trusted:
                return False
            else:
                self.out_of_order += 1
        return True

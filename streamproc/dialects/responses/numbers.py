"""Sequence numbers: where a response can be resumed, and what came twice.

They count the events of one response. After a reconnect the server may start a little earlier than asked; what is
known already is dropped. Some servers send the same number always, or go back without a reconnect: then numbers are
no longer trusted on that stream, and nothing is dropped.
"""

from typing import Final, Literal

__all__ = ["NO_NUMBER", "SequenceNumbers"]

NO_NUMBER: Final = -1


class SequenceNumbers:
    """The numbers of one response after the other.

    Attributes:
        last: the highest one of this response, NO_NUMBER before the first; whoever reads fast raises it.
        out_of_order: how many did not go up, without a reconnect, of all responses.
    """

    __slots__ = ("_is_resumed", "_is_trusted", "last", "out_of_order")

    def __init__(self) -> None:
        self.out_of_order = 0
        self.restart()

    def restart(self) -> None:
        """The next events are those of another response."""
        self.last = NO_NUMBER
        self._is_trusted = True
        self._is_resumed = False

    def resume(self) -> None:
        """The next events come over another connection and may overlap with those before it."""
        self._is_resumed = True

    def note(self, number: object) -> Literal["new", "overlap", "distrusted", "repeat"]:
        """Take the number of an event; "distrusted" for the first that is out of order, "repeat" for later ones.

        Only "overlap" says that the event is known.
        """
        if type(number) is not int or number < 0:
            return "new"
        if number > self.last:
            self.last = number
            self._is_resumed = False
            return "new"
        if self._is_trusted and self._is_resumed:
            return "overlap"
        self.out_of_order += 1
        if not self._is_trusted:
            return "repeat"
        self._is_trusted = False
        return "distrusted"

"""What belongs to one stream rather than to the runs on it: name, epoch, position, counts of oddities."""

from collections import Counter

from streamproc.core.change import Origin
from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA
from streamproc.core.place import Places

__all__ = ["StreamContext"]


def no_places() -> dict[bytes, Places]:
    return {name.encode(): Places(name) for name in (STEP_DELTA, MESSAGE_DELTA)}


class StreamContext:
    """State of one stream as the reducer follows it. Several contexts may share a reducer."""

    __slots__ = ("anomalies", "done", "ended", "origin", "owner", "places", "run_id", "seq", "thread_id")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.owner = (origin.stream, origin.epoch)  # one object per epoch, compared by identity
        self.seq = 0  # of the last change
        self.run_id: str | None = None  # the run that the stream is about now
        self.thread_id: str | None = None
        self.places = no_places()  # per name of a delta event on the wire
        self.done = False  # `done` or the end was seen; more frames need `open()`
        self.ended = False  # the last run status seen, or an error, ends a stream
        self.anomalies: Counter[str] = Counter()

    @classmethod
    def named(cls, stream: str, epoch: int = 1) -> "StreamContext":
        return cls(Origin(stream, epoch))

    def open(self, epoch: int | None = None) -> None:
        """Begin the next stream of the same runs; a higher epoch says that it starts again from the beginning.

        Raises:
            ValueError: the epoch is lower than the current one.
        """
        if epoch is not None and epoch != self.origin.epoch:
            if epoch < self.origin.epoch:
                raise ValueError(
                    f"epoch {epoch} of stream {self.origin.stream!r} is below the current {self.origin.epoch}"
                )
            self.origin = Origin(self.origin.stream, epoch, self.origin.at)
            self.owner = (self.origin.stream, epoch)
            self.places = no_places()
            self.seq = 0
        self.done = self.ended = False
        for places in self.places.values():
            places.object_id = ""

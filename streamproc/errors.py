"""All errors that streamproc raises on purpose; anything else that escapes is a bug.

    StreamprocError
    ├── ConfigError              a setting is missing or cannot work
    ├── LimitExceeded            a stream broke one of `Limits`
    │   ├── FrameTooLarge
    │   └── LineTooLong
    ├── SourceError              the bytes stopped coming: the pipeline reconnects
    │   ├── SourceUnavailable
    │   └── StreamTruncated
    ├── SinkError                a batch was not taken
    │   ├── SinkUnavailable      ... now: delivery tries again
    │   ├── SinkRejected         ... ever: delivery writes a dead letter
    │   └── SinkGone             ... nor will any other: delivery closes the sink
    ├── StoreError               the journal, the states or the cursors could not be read or written
    └── HookError                a hook raised

Data is in attributes and the text is built from it. All of them survive pickling.
"""

from collections.abc import Sequence

__all__ = [
    "ConfigError",
    "FrameTooLarge",
    "HookError",
    "LimitExceeded",
    "LineTooLong",
    "SinkError",
    "SinkGone",
    "SinkRejected",
    "SinkUnavailable",
    "SourceError",
    "SourceUnavailable",
    "StoreError",
    "StreamTruncated",
    "StreamprocError",
]


class StreamprocError(Exception):
    """The root: catches everything below and nothing else."""


class ConfigError(StreamprocError):
    """A setting is missing, unknown or cannot work."""


class LimitExceeded(StreamprocError):
    """A stream broke a limit.

    Attributes:
        limit: the field of `Limits`.
        maximum: its value.
    """

    def __init__(self, limit: str, maximum: int) -> None:
        super().__init__(limit, maximum)
        self.limit = limit
        self.maximum = maximum

    def __str__(self) -> str:
        return f"expected at most {self.maximum} ({self.limit}), more came"


class FrameTooLarge(LimitExceeded):
    """A block of lines is longer than `Limits.max_frame_bytes`."""


class LineTooLong(LimitExceeded):
    """A line is longer than `Limits.max_line_bytes`."""


class SourceError(StreamprocError):
    """The bytes of a stream stopped coming."""


class SourceUnavailable(SourceError):
    """A source cannot be opened or read at the moment.

    Attributes:
        reason: what happened, for people.
        retry_after_s: the wait that the source asked for; None when it said nothing.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason, retry_after_s)
        self.reason = reason
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return _with_wait(self.reason, self.retry_after_s)


class StreamTruncated(SourceError):
    """A stream ended before it said that it was complete.

    Attributes:
        stream: its name.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream

    def __str__(self) -> str:
        return f"expected a terminal event on stream {self.stream!r}, its end came"


class SinkError(StreamprocError):
    """A sink did not take a batch."""


class SinkUnavailable(SinkError):
    """A sink cannot take anything at the moment; the same batch may be offered again.

    Attributes:
        reason: what happened, for people.
        retry_after_s: the wait that the far side asked for; None when it said nothing.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason, retry_after_s)
        self.reason = reason
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return _with_wait(self.reason, self.retry_after_s)


class SinkRejected(SinkError):
    """A sink will never take some changes of a batch; it took all others.

    Attributes:
        reason: what is wrong with them, for people.
        changes: the rejected ones, in the order of the batch.
    """

    def __init__(self, reason: str, changes: Sequence[object]) -> None:
        super().__init__(reason, changes)
        self.reason = reason
        self.changes = changes

    def __str__(self) -> str:
        return f"{self.reason} (rejected changes: {len(self.changes)})"


class SinkGone(SinkError):
    """The far side of a sink wants nothing more, of this batch or any other.

    Attributes:
        reason: how it said so, for people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class StoreError(StreamprocError):
    """A store could not read or write."""


class HookError(StreamprocError):
    """A hook raised; its exception is the cause of this one.

    Attributes:
        hook: the name of the hook.
    """

    def __init__(self, hook: str) -> None:
        super().__init__(hook)
        self.hook = hook

    def __str__(self) -> str:
        return f"hook {self.hook!r} raised {self.__cause__!r}"


def _with_wait(reason: str, retry_after_s: float | None) -> str:
    return reason if retry_after_s is None else f"{reason} (retry after {retry_after_s:g} s)"

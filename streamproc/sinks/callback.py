"""CallbackSink: every batch goes to a function of the program's own."""

from collections.abc import Callable, Sequence
from inspect import isawaitable

from streamproc.core.change import Change

__all__ = ["CallbackSink"]


class CallbackSink:
    """Calls a function with each batch; its return says that the batch has arrived.

    Promise: at-least-once delivery; the function tells a repeated change by `(stream, epoch, seq)`.

    The function's exceptions mean what a sink's do: after `SinkUnavailable` the batch comes again, the changes of a
    `SinkRejected` become dead letters, anything else is a bug.
    """

    def __init__(self, fn: Callable[[Sequence[Change]], object]) -> None:
        """
        Args:
            fn: a coroutine function, or a plain one. The latter is called in the event loop, so it must be quick. What
                it returns is awaited if it can be, and otherwise ignored.
        """
        self._fn = fn

    async def write(self, batch: Sequence[Change]) -> None:
        """Call the function once."""
        result = self._fn(batch)
        if isawaitable(result):
            await result

"""Changes as they come, in a loop instead of hooks."""

from collections.abc import AsyncIterable, Callable
from contextlib import aclosing

from streamproc import Pipeline, RunStep


async def follow(response: AsyncIterable[bytes], ended: Callable[[RunStep], None]) -> None:
    async with Pipeline() as pipeline, aclosing(pipeline.changes(response)) as changes:
        async for change in changes:
            if change.kind == "step" and change.is_final:
                ended(change.state)

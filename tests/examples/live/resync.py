"""A stream that survives its connection: what was missed is asked for, from the API's list endpoints."""

from streamproc import Pipeline, StreamResult
from streamproc.sinks import MemorySink
from streamproc.sources import AssistantsResync, HttpSource


async def follow(api: str, headers: dict[str, str], thread_id: str, assistant_id: str) -> StreamResult:
    source = HttpSource(
        f"{api}/threads/{thread_id}/runs",
        method="POST",  # which is never sent twice
        headers=headers,
        json={"assistant_id": assistant_id, "stream": True},
        resync=AssistantsResync(api, headers=headers),
    )
    async with Pipeline(sinks=[MemorySink()]) as pipeline:
        return (await pipeline.run(source)).raise_for_error()

"""A background response whose stream goes on where it broke off; when it cannot, its final state is asked for."""

from typing import Any

from streamproc import Pipeline, StreamResult
from streamproc.sources import HttpSource, ResponsesResume, ResponsesResync


async def follow(pipeline: Pipeline, api: str, headers: dict[str, str], request: dict[str, Any]) -> StreamResult:
    responses = f"{api}/responses"
    source = HttpSource(
        responses,
        method="POST",  # which is never sent twice
        headers=headers,
        json={**request, "background": True, "stream": True},
        resume=ResponsesResume(),
        resync=ResponsesResync(responses, headers=headers),
    )
    return (await pipeline.run(source)).raise_for_error()

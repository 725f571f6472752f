"""The response of a sync OpenAI client: a thread waits for its bytes, so that the event loop need not."""

from openai import OpenAI

from streamproc import Pipeline, RunHooks, StreamResult
from streamproc.sources import IterableSource


async def follow(client: OpenAI, thread_id: str, assistant_id: str, hooks: RunHooks) -> StreamResult:
    runs = client.beta.threads.runs.with_streaming_response
    with runs.create(thread_id, assistant_id=assistant_id, stream=True) as response:
        async with Pipeline(hooks=hooks) as pipeline:
            return await pipeline.run(IterableSource(response.iter_bytes(), threaded=True))

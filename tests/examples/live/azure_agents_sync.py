"""The same with the sync client."""

from azure.ai.agents import AgentsClient

from streamproc import Pipeline, RunHooks, StreamResult
from streamproc.sources import IterableSource


async def follow(client: AgentsClient, thread_id: str, agent_id: str, hooks: RunHooks) -> StreamResult:
    stream = client.runs.stream(thread_id, agent_id=agent_id)
    with stream:
        async with Pipeline(hooks=hooks) as pipeline:
            return await pipeline.run(IterableSource(stream.response_iterator, threaded=True))

"""The stream of an `azure-ai-agents` client. Its own event handler is made, and never used."""

from azure.ai.agents.aio import AgentsClient

from streamproc import Pipeline, RunHooks, StreamResult


async def follow(client: AgentsClient, thread_id: str, agent_id: str, hooks: RunHooks) -> StreamResult:
    stream = await client.runs.stream(thread_id, agent_id=agent_id)
    async with stream, Pipeline(hooks=hooks) as pipeline:
        return await pipeline.run(stream.response_iterator)

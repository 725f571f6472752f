"""The event objects of an OpenAI client, `stream=True`, where a program has them already."""

from openai import AsyncOpenAI

from streamproc import Pipeline, RunHooks, StreamResult


async def follow(client: AsyncOpenAI, thread_id: str, assistant_id: str, hooks: RunHooks) -> StreamResult:
    events = await client.beta.threads.runs.create(thread_id, assistant_id=assistant_id, stream=True)
    async with Pipeline(hooks=hooks) as pipeline:
        return await pipeline.run(events)

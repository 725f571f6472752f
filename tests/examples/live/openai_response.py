"""The response of an async OpenAI client, as bytes: `with_streaming_response`."""

from openai import AsyncOpenAI

from streamproc import Pipeline, RunHooks, StreamResult


async def follow(client: AsyncOpenAI, thread_id: str, assistant_id: str, hooks: RunHooks) -> StreamResult:
    runs = client.beta.threads.runs.with_streaming_response
    request = runs.create(thread_id, assistant_id=assistant_id, stream=True)
    async with request as response, Pipeline(hooks=hooks) as pipeline:
        return await pipeline.run(response.iter_bytes())

"""A web handler that passes a stream on to a browser and records its steps on the way."""

from contextlib import aclosing
from uuid import uuid4

import aiohttp
from aiohttp import web

from streamproc import Pipeline


def proxy(pipeline: Pipeline, session: aiohttp.ClientSession, upstream: str) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        async with session.post(upstream, data=await request.read()) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async with aclosing(pipeline.tee(answer.content.iter_any(), stream=uuid4().hex)) as chunks:
                async for chunk in chunks:
                    await response.write(chunk)
        return response

    app = web.Application()
    app.router.add_post("/runs", handle)
    return app

"""A response of aiohttp's, opened by the program itself."""

import aiohttp

from streamproc import Pipeline, StreamResult


async def follow(url: str, body: object) -> StreamResult:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)  # aiohttp's own default ends every stream after 5 minutes
    async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=body) as response:
        response.raise_for_status()
        async with Pipeline() as pipeline:
            return await pipeline.run(response.content.iter_any())

"""aiohttp's server for a proxy: three things that it does not do by itself, by way of its protocol's inside.

All are about one connection, so all are in a subclass of what handles one; tests hold them.
"""

from aiohttp import web

from streamproc.worker.proxy_response import refused

__all__ = ["ProxyServer"]


class ProxyServer(web.Server):
    """Serves connections until it is shut down."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def close_idle(self) -> None:
        """End the connections without a request; `pre_shutdown` would stop reading the others' uploads."""
        for connection in self.connections:
            if isinstance(connection, _Connection):
                connection.close_idle()


class _Connection(web.RequestHandler):
    """A client's connection. Of a chunk that is none, aiohttp's tells the next request and not this one's body."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        request = self._current_request
        if request is not None and self._messages and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("no HTTP"))

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what cannot be parsed without showing it, as aiohttp would."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        return refused(request, status, "bad_request", "no request of HTTP/1.1 that can be read without doubt")

    def close_idle(self) -> None:
        if self._current_request is None and not self._messages:
            self.force_close()

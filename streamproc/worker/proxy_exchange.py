"""One request and its answer: on to the upstream, and back while it comes.

Whatever the upstream does is what the client sees: its answers as they are, errors too; a body that breaks off breaks
off for the client, a reset is a reset. Only an upstream that gives no answer at all is answered for.
"""

from collections.abc import Mapping
from typing import Final

import aiohttp
import structlog
from aiohttp import HttpVersion11, web
from yarl import URL

from streamproc.worker.headers import Framing, Raw, content_lengths, request_headers, response_head, tokens
from streamproc.worker.proxy_response import Relayed, refused
from streamproc.worker.proxy_statistics import Counts
from streamproc.worker.proxy_upstream import FOREIGN, Answer, Upload, trouble_of
from streamproc.worker.taps import Copy, Taps

__all__ = ["ANSWERS", "Exchanges"]

log = structlog.get_logger("streamproc")

_BODILESS: Final = frozenset({204, 304})
ANSWERS: Final[Mapping[str, tuple[int, str]]] = {
    "unreachable": (502, "the upstream cannot be reached"),
    "timeout": (504, "the upstream did not answer in time"),
    "bad_answer": (502, "the upstream ended the connection, or did not answer in HTTP"),
}


class Exchanges:
    """Carries out requests.

    Args:
        prefix: what comes before the path of each: the upstream's scheme, host, port and path.
        waits_for_pipeline: whether a piece of a stream is passed on only when the pipeline keeps up.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        prefix: str,
        taps: Taps,
        counts: Counts,
        *,
        waits_for_pipeline: bool,
        idle_timeout_s: float,
    ) -> None:
        self._session = session
        self._prefix = prefix
        self._taps = taps
        self._counts = counts
        self._waits_for_pipeline = waits_for_pipeline
        self._idle_timeout_s = idle_timeout_s

    async def carry_out(self, request: web.BaseRequest) -> Relayed:
        """Pass a request on, and its answer back; what is returned has been sent, or says what went wrong.

        Raises:
            ConnectionError: the client has left.
        """
        raw = request.raw_headers
        try:
            headers = request_headers(raw)
        except UnicodeDecodeError:
            return self._refused(request, "bad_header", "expected headers in UTF-8")
        upload = None
        if b"chunked" in tokens(raw, b"transfer-encoding") or content_lengths(raw) - {b"0"}:
            upload = Upload(request, expects_continue="Expect" in headers)
        url = URL(f"{self._prefix}{request.raw_path}", encoded=True)
        try:
            response = await self._session.request(
                request.method, url, headers=headers, data=upload, allow_redirects=False
            )
        except FOREIGN as error:
            if upload is not None and upload.is_broken:
                return self._refused(request, "bad_body", "the body of the request is not complete")
            return self._failed(request, error)
        try:
            is_last = upload is not None and upload.is_unasked  # what comes next may be the body, or not
            relayed = await self._pass_on(request, response, is_last=is_last)
            if is_last:
                await relayed.write_eof()
                relayed.cut()
            return relayed
        finally:
            response.close()  # unless it is complete, this ends the connection to the upstream

    async def _pass_on(self, request: web.BaseRequest, response: aiohttp.ClientResponse, *, is_last: bool) -> Relayed:
        raw, status = response.raw_headers, response.status
        is_old = request.version < HttpVersion11
        try:
            framing = framing_of(request.method, status, raw, is_old=is_old)
            closes = is_last or is_old or not request.keep_alive or framing == "close"
            closes = closes or b"close" in tokens(raw, b"connection")
            reason = (response.reason or "").encode("utf-8", "surrogateescape")
            head = response_head(status, reason, raw, framing=framing, closes=closes)
        except ValueError as error:
            return self._failed(request, error)
        relayed = Relayed(request, status, head, is_chunked=framing == "chunked", keeps_alive=not closes)
        await relayed.prepare(request)
        if framing == "none":
            return relayed
        copy = self._taps.begin(request.method, request.raw_path.partition("?")[0], status, response.headers)
        answer = Answer(response, self._idle_timeout_s)
        is_whole = False
        try:
            is_whole = await self._stream(answer, relayed, copy, framing)
        finally:
            answer.close()
            if copy is not None:
                copy.complete(is_whole)
        if not is_whole and answer.was_reset:
            await relayed.reset()
        elif not is_whole:
            relayed.cut()
        return relayed

    async def _stream(self, answer: Answer, relayed: Relayed, copy: Copy | None, framing: Framing) -> bool:
        """Send the body on; returns whether it came to its end."""
        while True:
            try:
                piece = await answer.next()
            except FOREIGN as error:
                self._counts.upstream_errors["broken"] += 1
                log.warning("proxy.answer_broken", cause=type(error).__name__)
                return False
            if not piece:  # where the end of the connection is the end of the body, it may have been torn down
                return framing != "close" or not answer.was_reset
            if copy is not None:
                copy.offer(piece)
                if self._waits_for_pipeline:
                    await copy.room()
                    if copy.ended_by == "failed":
                        return False
            await relayed.write(piece)

    def _failed(self, request: web.BaseRequest, error: Exception) -> Relayed:
        trouble = trouble_of(error)
        self._counts.upstream_errors[trouble] += 1
        log.warning("proxy.upstream_failed", method=request.method, trouble=trouble, cause=type(error).__name__)
        status, message = ANSWERS[trouble]
        return refused(request, status, f"upstream_{trouble}", message)

    def _refused(self, request: web.BaseRequest, code: str, message: str) -> Relayed:
        self._counts.refused += 1
        return refused(request, 400, code, message)


def framing_of(method: str, status: int, raw: Raw, *, is_old: bool) -> Framing:
    """How the body of an answer goes to the client: as it came, if the client can read that.

    Args:
        is_old: the client does not know chunks.

    Raises:
        ValueError: where it ends cannot be told for sure.
    """
    codings, lengths = tokens(raw, b"transfer-encoding"), content_lengths(raw)
    if status < 200 or codings - {b"chunked"} or len(lengths) > 1:
        raise ValueError("an answer whose end cannot be told")
    if method == "HEAD" or status in _BODILESS:
        return "none"
    if codings:
        return "close" if is_old else "chunked"
    return "length" if lengths else "close"

"""The kinds of source: for each the options in a config file, how it is made of them, and how `check` looks for it.

What a kind needs is imported when it is made.
"""

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import anyio
from msgspec import Meta, Struct

from streamproc.plugins import PlugIn, SourceConfig
from streamproc.protocols import Source
from streamproc.secret import Secret, SecretUrl
from streamproc.worker.config.values import Seconds, Text

if TYPE_CHECKING:
    from streamproc.sources import AssistantsResync, ResponsesResync

__all__ = ["SOURCES", "FileSourceConfig", "HttpSourceConfig", "ResumeConfig", "ResyncConfig", "dial"]


class ResumeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a stream that broke off goes on at another address."""

    api: Annotated[Literal["responses"], Meta(description="responses: that of a background response, where it stopped")]
    url: Annotated[
        SecretUrl | None, Meta(description="where responses are, at the origin of the source; its `url` unless given")
    ] = None


class ResyncConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an API tells the result of a run whose stream broke off."""

    api: Annotated[Literal["assistants", "responses"], Meta(description="which protocol it speaks")] = "assistants"
    base_url: Annotated[SecretUrl, Meta(description="what comes before `/threads`; of responses, where they are")]
    headers: Annotated[
        dict[str, Secret] | None, Meta(description="of every request; those of the source unless given")
    ] = None
    params: Annotated[dict[str, str], Meta(description='of every request, e.g. { "api-version" = "..." }')] = {}
    poll_s: Annotated[Seconds, Meta(description="the first wait between two looks at the run")] = 0.5
    max_poll_s: Annotated[Seconds, Meta(description="the longest one")] = 5.0
    timeout_s: Annotated[Seconds, Meta(description="how long the run may take to end")] = 900.0
    request_timeout_s: Annotated[Seconds, Meta(description="for one answer")] = 30.0


class HttpSourceConfig(SourceConfig, tag="http", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream that an HTTP request answers with."""

    url: Annotated[SecretUrl, Meta(description="user name and password in it become an Authorization header")]
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH"], Meta(description="of the request")] = "GET"
    headers: Annotated[dict[str, Secret], Meta(description="of every request; values are secrets")] = {}  # noqa: RUF012 - msgspec copies it
    json: Annotated[dict[str, Any] | None, Meta(description="the body, encoded as JSON")] = None
    body: Annotated[str | None, Meta(description="the body, as it is; not together with `json`")] = None
    idempotent: Annotated[
        bool | None,
        Meta(description="whether the request may be sent again to resume or repeat; unless given, a GET may"),
    ] = None
    idle_timeout_s: Annotated[Seconds, Meta(description="how long nothing at all may come")] = 60.0
    connect_timeout_s: Annotated[Seconds, Meta(description="for finding the host and connecting to it")] = 10.0
    resume: Annotated[ResumeConfig | None, Meta(description="how the stream goes on at another address")] = None
    resync: Annotated[ResyncConfig | None, Meta(description="where the result is, should the stream break off")] = None


class FileSourceConfig(SourceConfig, tag="file", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recorded stream, or one that is still being written to a file."""

    path: Annotated[Text, Meta(description="of a regular file")]
    speed: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="events a second; as fast as possible unless given")
    ] = None
    follow: Annotated[bool, Meta(description="wait for more at the end of the file")] = False
    poll_s: Annotated[Seconds, Meta(description="how often a followed file is looked at")] = 0.25


def _make_http(options: HttpSourceConfig) -> Source:
    from streamproc.sources.http import HttpSource
    from streamproc.sources.responses import ResponsesResume

    resume = options.resume
    return HttpSource(
        options.url.reveal(),
        method=options.method,
        json=options.json,
        body=options.body,
        headers=_revealed(options.headers),
        name=options.name,
        idempotent=options.idempotent,
        idle_timeout_s=options.idle_timeout_s,
        connect_timeout_s=options.connect_timeout_s,
        resume=None if resume is None else ResponsesResume(None if resume.url is None else resume.url.reveal()),
        resync=None if options.resync is None else _make_resync(options.resync, options.headers),
    )


def _make_resync(options: ResyncConfig, headers: Mapping[str, Secret]) -> "AssistantsResync | ResponsesResync":
    from streamproc.sources.assistants_resync import AssistantsResync
    from streamproc.sources.responses import ResponsesResync

    kind = ResponsesResync if options.api == "responses" else AssistantsResync
    return kind(
        options.base_url.reveal(),
        headers=_revealed(headers if options.headers is None else options.headers),
        params=options.params,
        poll_s=options.poll_s,
        max_poll_s=options.max_poll_s,
        timeout_s=options.timeout_s,
        request_timeout_s=options.request_timeout_s,
    )


def _revealed(headers: Mapping[str, Secret]) -> dict[str, str]:
    return {name: value.reveal() for name, value in headers.items()}


async def _probe_http(options: HttpSourceConfig) -> str:
    found = await dial(options.url)
    return found if options.resync is None else f"{found}, {await dial(options.resync.base_url)}"


async def dial(url: SecretUrl) -> str:
    """Connect to the host of a URL, and say which one it was; nothing is sent.

    Raises:
        OSError: it cannot be reached.
    """
    from yarl import URL

    parsed = URL(url.reveal())
    host, port = parsed.host or "", parsed.port or 0
    try:
        await (await anyio.connect_tcp(host, port)).aclose()
    except OSError as error:
        raise OSError(f"no connection to {host}:{port} ({error.strerror or type(error).__name__})") from error
    return f"connected to {host}:{port}"


def _make_file(options: FileSourceConfig) -> Source:
    from streamproc.sources.file import FileSource

    return FileSource(
        options.path, name=options.name, speed=options.speed, follow=options.follow, poll_s=options.poll_s
    )


async def _probe_file(options: FileSourceConfig) -> str:
    path = anyio.Path(options.path)
    try:
        found = await path.stat()
    except FileNotFoundError:
        if options.follow and await path.parent.is_dir():
            return "not there yet"
        raise
    if not stat.S_ISREG(found.st_mode):
        raise OSError("expected a regular file, something else is there")
    if not os.access(options.path, os.R_OK):
        raise PermissionError("may not be read")
    return f"{found.st_size} bytes"


SOURCES: Final[Mapping[str, PlugIn[Any]]] = {
    "http": PlugIn(HttpSourceConfig, _make_http, _probe_http),
    "file": PlugIn(FileSourceConfig, _make_file, _probe_file),
}

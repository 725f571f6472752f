"""What is wrong with an input that holds no event, and the one damage that is repaired.

Some tools store a stream without the blank lines that end its events. The standard gives such a file no event at all,
and the parser follows the standard; `replay` gives the blank lines back, for files that hold nothing otherwise.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["has_fields", "lost_blank_lines", "restore_blank_lines", "why_no_stream"]

_FIELD_LINE: Final = re.compile(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf)?(?:data|event):")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a CR at the very end may be half a line end
_OBJECT: Final = re.compile(rb"data: ?\{.*\}[\r\n]*", re.DOTALL)
_SIGNATURES: Final = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it first: gunzip"),
    (b"\xff\xfe", "is UTF-16 text, an event stream is UTF-8; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "is UTF-16 text, an event stream is UTF-8; convert it: iconv -f UTF-16 -t UTF-8"),
)


def why_no_stream(head: bytes) -> str | None:
    """Say what an input is instead of an event stream, by its first bytes; None when it may well be one."""
    for signature, reason in _SIGNATURES:
        if head.startswith(signature):
            return reason
    if has_fields(head):
        return None
    if b"\0" in head:
        return "is binary data, not an event stream"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        kind = "an HTML page" if b"<html" in text.lower() or text[:9].lower() == b"<!doctype" else "markup"
        return f"is {kind}, not an event stream; was it an error page?"
    if text.startswith((b"{", b"[")):
        return 'is JSON, not an event stream; record the response of a request with "stream": true'
    return None


def has_fields(head: bytes) -> bool:
    """Whether there is a line in it that an event stream is made of."""
    return _FIELD_LINE.search(head) is not None


def lost_blank_lines(chunks: Iterable[bytes]) -> bool:
    """Whether at least two events follow each other without a blank line, as if all such lines were lost."""
    blocks = 0
    before = b""
    for line in _lines(chunks):
        if line.startswith(b"data:") and before.startswith(b"event:"):
            blocks += 1
            if blocks == 2:
                return True
        elif _starts_block(line, before):
            return True
        before = line
    return False


def restore_blank_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Put a blank line before every line that starts an event and follows a `data:` line; the last block stays
    unfinished."""
    before = b""
    for line in _lines(chunks):
        starts = before.startswith(b"data:") and (line.startswith(b"event:") or _starts_block(line, before))
        yield b"\n" + line if starts else line
        before = line


def _starts_block(line: bytes, before: bytes) -> bool:
    """Whether a `data:` line is no continuation of the one before: each is a JSON object by itself, or the end."""
    if _OBJECT.fullmatch(before) is None:
        return False
    return _OBJECT.fullmatch(line) is not None or line.rstrip() == b"data: [DONE]"


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends, whatever the chunks; the last one may have none."""
    pending: list[bytes] = []  # joined once per line, so that a long line costs no more than its length
    for chunk in chunks:
        if pending and pending[-1].endswith(b"\r"):
            chunk = pending.pop() + chunk
        start = 0
        for match in _LINE_END.finditer(chunk):
            yield b"".join((*pending, chunk[start : match.end()]))
            pending.clear()
            start = match.end()
        if start < len(chunk):
            pending.append(chunk[start:])
    if pending:
        yield b"".join(pending)

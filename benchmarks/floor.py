"""The decode floor: the time that nothing built on the same decoders can be expected to beat while it reads everything.

It is a plain loop that decodes every payload of a stream, whole, with the decoder that the library itself uses when it
decodes such a payload fully: the narrow struct of a text fragment where the payload is one, else plain data. Which one
that is was found out beforehand. No framing, no dispatch, no merging, no result is kept. The library's fast path may
decode less than a whole payload (see core/place.py); the floor stays the full decode.
"""

from collections.abc import Callable, Iterable

import msgspec

from benchmarks.writer import Workload
from streamproc.core.fragments import FRAGMENT_DECODERS, FragmentError
from streamproc.core.sse import Frame, SSEParser

__all__ = ["Job", "decode_all", "jobs"]

Job = tuple[Callable[[bytes], object], bytes]
"""A payload and the decoder for it."""


def jobs(workloads: Iterable[Workload]) -> list[Job]:
    """The payloads of all events, each with its decoder; those that are no JSON are left out."""
    found: list[Job] = []
    for workload in workloads:
        for frame in SSEParser().feed(workload.stream):
            decode = _decoder(frame)
            if decode is not None:
                found.append((decode, frame.data))
    return found


def decode_all(work: Iterable[Job]) -> None:
    """The floor itself."""
    for decode, payload in work:
        decode(payload)


def _decoder(frame: Frame) -> Callable[[bytes], object] | None:
    for decode in (FRAGMENT_DECODERS.get(frame.event), msgspec.json.decode):
        if decode is not None:
            try:
                decode(frame.data)
            except FragmentError:
                continue
            return decode
    return None

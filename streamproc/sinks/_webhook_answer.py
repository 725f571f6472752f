"""What an endpoint's answer means for the change that it was sent, and for those that wait behind it.

    2xx                                taken
    3xx                                later; never followed, it could lead anywhere
    410                                gone: the endpoint wants no more, of anything
    408, 425, 429, 5xx, no answer      later, after the wait that it asks for
    any other 4xx                      rejected, for good

"Later" concerns one run, unless the endpoint as a whole seems unable (no answer, 3xx, 429, 503) or asks for a wait:
then nothing more of the batch is sent to it.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from streamproc.retry_after import retry_after_s

__all__ = ["Answer", "answer_of"]

Meaning: TypeAlias = Literal["taken", "rejected", "later", "gone"]

_LATER: Final = frozenset({408, 425, 429})
_UNABLE: Final = frozenset({429, 503})


class Answer(Struct, frozen=True, kw_only=True):
    """One answer, or why there was none."""

    meaning: Meaning
    what: str = ""  # for people, without the name of the host
    retry_after_s: float | None = None
    concerns_all: bool = False  # of the batch, not only this run


def answer_of(status: int, headers: Mapping[str, str], now_s: float) -> Answer:
    """What a status means.

    Args:
        now_s: seconds since 1970, for dates in Retry-After.
    """
    what = f"answered {status}"
    if 200 <= status < 300:
        return Answer(meaning="taken", what=what)
    if status == 410:
        return Answer(meaning="gone", what=what, concerns_all=True)
    if 400 <= status < 500 and status not in _LATER:
        return Answer(meaning="rejected", what=what)
    wait_s = retry_after_s(headers, now_s)
    concerns_all = wait_s is not None or status in _UNABLE or status < 400
    return Answer(meaning="later", what=what, retry_after_s=wait_s, concerns_all=concerns_all)

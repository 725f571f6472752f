"""Spent: the usage of a run that spans several responses.

Each response says its own. One that is read again, after a lost connection or from a store, counts once.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final

from streamproc.dialects.translation import added_usage

__all__ = ["Spent"]

_MAX_RESPONSES: Final = 1_000  # that are told apart; older ones are in one sum


class Spent:
    """What the responses of one run have spent, in one stream or several."""

    def __init__(self) -> None:
        self._older: Mapping[str, Any] = {}
        self._by_response: dict[Hashable, Mapping[str, Any]] = {}

    def total(self, response: Hashable, usage: Mapping[str, Any]) -> dict[str, Any]:
        """The usage of all responses so far.

        Args:
            response: the newest one: its id, or whatever else tells it from the others.
            usage: of that one.
        """
        self._by_response[response] = usage
        if len(self._by_response) > _MAX_RESPONSES:
            self._older = added_usage(self._older, self._by_response.pop(next(iter(self._by_response))))
        total = dict(self._older)
        for one in self._by_response.values():
            total = added_usage(total, one)
        return total

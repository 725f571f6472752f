"""How a sink is fed and how anything is tried again: settings only, with what they mean beside them."""

from random import Random
from typing import Final, Literal

from msgspec import Struct

from streamproc.errors import ConfigError

__all__ = ["DeliveryPolicy", "Retry"]


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exponential backoff with full jitter: a wait is uniform between 0 and a ceiling that doubles.

    Source: AWS Builders' Library, "Timeouts, retries, and backoff with jitter".
    """

    base_s: float = 0.5  # the ceiling of the first wait
    cap_s: float = 30.0  # no ceiling is higher
    retry_after_cap_s: float = 120.0  # the longest wait that a far side may ask for
    max_attempts: int | None = None  # attempts in a row without success; None: no bound
    max_elapsed_s: float | None = None  # seconds since the first of those attempts; None: no bound

    def wait_s(self, attempt: int, random: Random, retry_after_s: float | None = None) -> float:
        """Seconds to wait after failure number `attempt` in a row (from 1); at least what the far side asked for."""
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 63))
        return max(random.uniform(0, ceiling), min(retry_after_s or 0.0, self.retry_after_cap_s))

    def is_exhausted(self, attempt: int, elapsed_s: float) -> bool:
        """Whether there is no further attempt after `attempt` failures in a row over so many seconds."""
        if self.max_attempts is not None and attempt >= self.max_attempts:
            return True
        return self.max_elapsed_s is not None and elapsed_s >= self.max_elapsed_s


_CHOICES: Final = {"deliver": ("changes", "latest", "final"), "when_full": ("block", "coalesce", "close_sink")}


class DeliveryPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one sink is fed.

    Raises:
        ConfigError: a value is out of range, or two of them contradict each other.
    """

    deliver: Literal["changes", "latest", "final"] = "changes"
    """changes: every change, in order · latest: the newest state of each object, `delta` None · final: one change for
    each Run, RunStep and Message that ended, plus truncations and errors."""
    required: bool = True
    """Whether reading waits for this sink. With False a full inbox closes the sink instead."""
    batch_max: int = 256  # changes in a batch
    batch_max_bytes: int = 1024 * 1024
    """Payload bytes in a batch, without what all fragments of a text have around them; one change may be larger."""
    batch_wait_s: float = 0.0  # how long a batch may wait to fill up
    timeout_s: float = 30.0  # for one write
    retry: Retry = Retry()
    breaker_failures: int = 5  # failed writes in a row after which the sink is only probed, with one change
    breaker_pause_s: float = 3.0  # between two probes; so much later than its far side a sink is back at most
    max_bugs: int = 3  # unexpected exceptions in a row after which the sink is closed
    inbox_max: int = 16384  # changes that wait; one batch may exceed it
    when_full: Literal["block", "coalesce", "close_sink"] = "block"
    """block: reading pauses, at most `max_pause_s`, then the sink is closed · coalesce: only with latest or final; the
    newest state of each object is all that waits, so `inbox_max` counts objects, and only beyond it reading pauses ·
    close_sink: the sink is closed when more comes. What a closed sink misses is counted as dropped."""
    max_pause_s: float = 20.0  # how long reading may pause for this sink

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}")
        for name in ("batch_max", "batch_max_bytes", "breaker_failures", "max_bugs", "inbox_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("batch_wait_s", "breaker_pause_s", "max_pause_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}; expected 0 or more seconds")
        if self.timeout_s <= 0:
            raise ConfigError(f"timeout_s is {self.timeout_s:g}; expected more than 0 seconds")
        if self.when_full == "coalesce" and self.deliver == "changes":
            raise ConfigError('when_full = "coalesce" needs deliver = "latest" or "final": changes are never coalesced')

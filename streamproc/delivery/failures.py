"""What has gone wrong with a sink since its last success, and what follows from that: how long to wait, how much to
send, when to give up.

Plain bookkeeping: it does not wait, log or know any change. After `breaker_failures` failed writes in a row the breaker
is open: the sink then gets one change at a time, a probe, with a longer pause before each, until it takes one.
"""

from random import Random

from streamproc.delivery.policy import DeliveryPolicy

__all__ = ["Failures"]


class Failures:
    """The failures of one sink."""

    def __init__(self, policy: DeliveryPolicy, random: Random) -> None:
        self.any = False  # since the last success
        self.attempts = 0  # failed writes of the batch in flight
        self.in_a_row = 0  # failed writes, of any batch; bugs are not among them
        self.bugs = 0  # unexpected exceptions since the last success
        self.is_open = False  # the breaker
        self.wait_s = 0.0  # before the next write
        self._policy = policy
        self._random = random
        self._since_s = 0.0  # when the first of `attempts` began

    def add_unavailable(self, began_s: float, now_s: float, retry_after_s: float | None) -> bool:
        """A write, begun at `began_s`, failed but may be repeated; returns whether enough is enough for its batch."""
        policy, retry = self._policy, self._policy.retry
        self.any = True
        self.in_a_row += 1
        self.is_open = self.in_a_row >= policy.breaker_failures
        self.attempts += 1
        if self.attempts == 1:
            self._since_s = began_s
        if self.is_open:
            self.wait_s = max(policy.breaker_pause_s, min(retry_after_s or 0.0, retry.retry_after_cap_s))
        else:
            self.wait_s = retry.wait_s(self.attempts, self._random, retry_after_s)
        return retry.is_exhausted(self.attempts, now_s - self._since_s)

    def add_bug(self) -> bool:
        """The sink raised what it should not; returns whether that is enough for good."""
        self.any = True
        self.bugs += 1
        return self.bugs >= self._policy.max_bugs

    def forget(self) -> bool:
        """A write succeeded; returns whether that closed the breaker."""
        was_open, self.is_open = self.is_open, False
        self.any = False
        self.in_a_row = self.bugs = 0
        return was_open

"""How sinks are fed whose server comes and goes: what docs/faults.md says of them is said of this policy.

The defaults are made for servers that are away for minutes: after five failures in a row they wait half a minute
between two attempts. Here no wait is longer than a second. A write is given up before a pause of the server ends, so
that this is among what is tested.
"""

from typing import Final

__all__ = ["TIMEOUT_S", "patient"]

TIMEOUT_S: Final = 2.0


def patient(*, deliver: str, batch_max: int = 256) -> str:
    """Its line in a config."""
    return (
        f'policy = {{ deliver = "{deliver}", batch_max = {batch_max}, timeout_s = {TIMEOUT_S:g}, breaker_pause_s = 1, '
        "retry = { base_s = 0.1, cap_s = 1 } }\n"
    )

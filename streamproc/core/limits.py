"""How much of a stream is kept in memory, at most.

The figures are far above what real streams need and far below what hurts a process; they are no tuning knobs. Breaking
one of the first two ends a stream with a `LimitExceeded`; what breaks one of the others is refused and counted.
"""

from msgspec import Struct

__all__ = ["Limits"]


class Limits(Struct, frozen=True, kw_only=True):
    """Upper bounds, all inclusive: what is equal to its limit still passes.

    Raises:
        ValueError: a field is below its minimum (0 for `max_closed_runs`, else 1), or a line might be longer than
            the block that holds it.
    """

    max_line_bytes: int = 16 * 2**20  # one line of a stream, without its line end
    max_frame_bytes: int = 32 * 2**20  # one block of lines, a byte for each line end between them
    max_index_gap: int = 1024  # how far an index in a delta may lie beyond the end of its list
    max_entries: int = 10_000  # entries in one list of an object
    max_object_bytes: int = 64 * 2**20  # accumulated text of one object
    max_open_runs: int = 10_000  # runs without a terminal status that are remembered
    max_closed_runs: int = 1_000  # runs with one that are remembered; the oldest go first
    max_steps_per_run: int = 10_000  # steps and messages of one run, counted together

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            minimum = 0 if name == "max_closed_runs" else 1
            value = getattr(self, name)
            if value < minimum:
                raise ValueError(f"{name}: expected at least {minimum}, got {value}")
        if self.max_line_bytes > self.max_frame_bytes:
            raise ValueError(
                f"max_line_bytes: expected at most max_frame_bytes ({self.max_frame_bytes}), got {self.max_line_bytes}"
            )

"""A price table of round numbers for tests, in place of the published one, which changes: a token costs whole dollars.

Its models are named `acme-...`; `acme-plain` costs 1 dollar a prompt token and 10 a completion token.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

__all__ = ["CHANGED", "round_prices"]

CHANGED: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _listed(name: str, prices: Any) -> ModelInfo:
    return ModelInfo(id=name, match=ClauseEquals(equals=name), prices=prices)


def _dollars(**per_million: int) -> ModelPrice:
    return ModelPrice(**{name: Decimal(rate) for name, rate in per_million.items()})


_PLAIN: Final = _dollars(input_mtok=1_000_000, output_mtok=10_000_000)
_TABLE: Final = Provider(
    id="acme",
    name="Acme",
    api_pattern="https://acme",
    model_match=ClauseStartsWith(starts_with="acme-"),
    models=[
        _listed("acme-plain", _PLAIN),
        _listed("acme-free", _dollars(input_mtok=0, output_mtok=0)),
        _listed("acme-hours", _dollars(audio_hours=3)),
        _listed("acme-input", _dollars(input_mtok=1_000_000)),
        _listed(
            "acme-parts",
            ModelPrice(
                input_mtok=Decimal(1_000_000),
                cache_read_mtok=Decimal(100_000),
                cache_write_mtok=Decimal(2_000_000),
                output_mtok=Decimal(10_000_000),
                output_reasoning_mtok=Decimal(20_000_000),
            ),
        ),
        _listed(
            "acme-tiers",
            ModelPrice(
                input_mtok=TieredPrices(base=Decimal(1_000_000), tiers=[Tier(start=10, price=Decimal(5_000_000))]),
                output_mtok=Decimal(0),
            ),
        ),
        _listed(
            "acme-dearer",
            [
                ConditionalPrice(prices=_PLAIN),
                ConditionalPrice(
                    StartDateConstraint(CHANGED.date()), prices=_dollars(input_mtok=2_000_000, output_mtok=0)
                ),
            ],
        ),
    ],
)
_OTHER: Final = Provider(
    id="reseller",
    name="Reseller",
    api_pattern="https://reseller",
    models=[_listed("acme-plain", _dollars(input_mtok=3_000_000, output_mtok=0))],
)


@contextmanager
def round_prices() -> Iterator[None]:
    """The library reads this table, and no other, inside."""
    set_custom_snapshot(DataSnapshot(providers=[_TABLE, _OTHER], from_auto_update=False))
    try:
        yield
    finally:
        set_custom_snapshot(None)

"""The kinds of sink that have a campaign; a new one is a far side and a row."""

from collections.abc import Mapping
from typing import Final

from tests.faults.sinks.far_side import Open
from tests.faults.sinks.jsonl import jsonl_file
from tests.faults.sinks.otlp import otlp_collector
from tests.faults.sinks.postgres import postgres_database
from tests.faults.sinks.webhook import webhook_receiver

__all__ = ["SINKS"]

SINKS: Final[Mapping[str, Open]] = {
    "jsonl": jsonl_file,
    "webhook": webhook_receiver,
    "postgres": postgres_database,
    "otlp": otlp_collector,
}

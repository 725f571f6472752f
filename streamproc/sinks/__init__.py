"""Sinks: where changes go. What needs an extra (`rich`, `filelock`, `psycopg`) is imported when such a sink is made."""

from streamproc.sinks.callback import CallbackSink
from streamproc.sinks.console import ConsoleSink
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sinks.memory import MemorySink
from streamproc.sinks.postgres import PostgresSink

__all__ = ["CallbackSink", "ConsoleSink", "JsonlSink", "MemorySink", "PostgresSink"]

"""The worker's configuration: a TOML file as structs, and the parts that they describe."""

from streamproc.worker.config.build import NamedSink, Stream, build_sinks, build_store, build_streams
from streamproc.worker.config.faults import Fault, InvalidConfig
from streamproc.worker.config.load import Document, load_config, read_document
from streamproc.worker.config.sections import (
    AdminConfig,
    IngestConfig,
    LimitsConfig,
    LogConfig,
    ProxyConfig,
    RedactionConfig,
    WorkerConfig,
)

__all__ = [
    "AdminConfig",
    "Document",
    "Fault",
    "IngestConfig",
    "InvalidConfig",
    "LimitsConfig",
    "LogConfig",
    "NamedSink",
    "ProxyConfig",
    "RedactionConfig",
    "Stream",
    "WorkerConfig",
    "build_sinks",
    "build_store",
    "build_streams",
    "load_config",
    "read_document",
]

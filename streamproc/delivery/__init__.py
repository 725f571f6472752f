"""Delivery: how sinks are fed, each at its own pace, and what becomes of what they do not take."""

from streamproc.delivery.dead_letters import DeadLetter
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.delivery.statistics import SinkState, SinkStatistics

__all__ = ["DeadLetter", "DeliveryPolicy", "Fanout", "Retry", "SinkState", "SinkStatistics"]

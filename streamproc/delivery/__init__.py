"""Feeding sinks: one lane a sink, with its queue, its retries, its acknowledgements and its accounts."""

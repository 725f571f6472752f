"""The worker: a long-running process made of a config file, its sources, its sinks and its store."""

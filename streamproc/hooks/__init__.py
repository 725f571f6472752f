"""Hooks: methods that are called for what happens in a run, and what a run came to, to be awaited.

`RunHooks` is what people subclass. Whoever owns the streams (the pipeline, as a rule) gives their changes to a
`HookDispatch`, which calls the hooks.
"""

from streamproc.hooks.base import RunHooks
from streamproc.hooks.dispatch import MAX_BATCHES, HookDispatch, OnHookError
from streamproc.hooks.fragments import CallFragment, TextFragment

__all__ = ["MAX_BATCHES", "CallFragment", "HookDispatch", "OnHookError", "RunHooks", "TextFragment"]

"""The contracts of plug-ins: all that their authors need to read.

So far the dialect; sources, sinks and stores join it with the live pipeline.
"""

from streamproc.core.dialect import Dialect

__all__ = ["Dialect"]

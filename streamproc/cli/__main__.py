"""`python -m streamproc.cli`: the same as the `streamproc` command."""

import sys

from streamproc.cli import main

if __name__ == "__main__":
    sys.exit(main())

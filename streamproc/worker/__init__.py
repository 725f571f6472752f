"""The long-running process: what is built for it rather than for programs that embed streamproc."""

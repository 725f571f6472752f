"""What others do with the same bytes: each module is a process of its own, see process.py and ../versus.py."""

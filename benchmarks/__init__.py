"""How fast, how linear, how small: `python -m benchmarks`. README.md explains the method and holds the results."""

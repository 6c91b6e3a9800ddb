"""Benchmarks: `python -m bench [name]` prints one JSON object a line for each figure."""

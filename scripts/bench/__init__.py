"""Benchmarks: each runs beside a peer in one process and prints ratios as JSON. ``python -m scripts.bench.<name>``."""

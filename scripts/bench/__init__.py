"""Benchmarks that print JSON: ``python -m scripts.bench.<name>``. Most compare the project's code with a baseline."""

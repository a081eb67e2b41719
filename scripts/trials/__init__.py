"""Experiments: runs (trials) for each method, seed and base model, and one table of their results."""

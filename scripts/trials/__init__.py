"""Experiments: many runs (trials) of methods, seeds and base models, and one table of what came of them."""

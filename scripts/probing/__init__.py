"""Probes: tests of one base model in the household, without a mesh and without training."""

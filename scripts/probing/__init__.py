"""Probes: what one base model can do in the household, asked directly, without a mesh and without learning."""

"""The fuzzer `scripts/fuzz`: sends mutated requests to a live hub.

mutations  valid requests of every kind, and their mutations, from a seed
attack     the clients that send them, a well-behaved client beside them, and the checks
"""

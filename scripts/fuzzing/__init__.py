"""Requests that are nearly right, thrown at a live hub: what `scripts/fuzz` is made of.

mutations  requests of every kind, and what is done to them; decided by a seed
attack     who throws them, who lives beside, and what must hold of hub and neighbours
"""

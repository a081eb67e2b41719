"""Draws everything in the household with shapes; there are no picture files."""

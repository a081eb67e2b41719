"""What is said on the mesh: topics, messages, wire format, limits. Pure: no I/O and no imports of ours."""

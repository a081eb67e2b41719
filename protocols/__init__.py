"""The protocol of the mesh: topics, messages, wire format, limits. Pure: no I/O, no imports of the other packages."""

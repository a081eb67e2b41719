"""A stand-in for VirtualHome's Unity player."""

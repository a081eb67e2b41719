"""VirtualHome: the released client with its Unity player, or the package's graph executor with drawn frames."""

"""VirtualHome: the released client with its Unity player, or the package's own graph executor with drawn frames."""

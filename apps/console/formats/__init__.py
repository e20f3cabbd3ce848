"""How the pages write dates: as ISO 8601 does, to the second."""

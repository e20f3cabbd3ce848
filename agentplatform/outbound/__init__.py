"""Connections to addresses that strangers chose: checked, pinned, and over in time."""

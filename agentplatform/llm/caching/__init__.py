"""Answers that are used again: keys, and whether one answer serves two questions."""

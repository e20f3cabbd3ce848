"""Texts as vectors: a small local model, the process that holds it, and its client."""

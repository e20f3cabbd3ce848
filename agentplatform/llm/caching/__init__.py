"""Answers that are kept, and when one of them may be given again: by the same words, or by the same meaning."""

"""How texts are cut into the passages that retrieval finds."""

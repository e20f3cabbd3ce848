"""Tools that agents use: what they are, how they are offered and called, and the loop in which a model uses them."""

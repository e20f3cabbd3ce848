"""How each provider is spoken to: where a request says what it wants, and the shape of answers and errors."""

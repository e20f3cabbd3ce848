"""How complex a request is, and which tier of model it needs; learned offline, decided without a model."""

"""The journal of model calls and what the gateway keeps about providers."""

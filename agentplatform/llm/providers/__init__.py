"""Adapters to provider SDKs: nothing else may import one."""

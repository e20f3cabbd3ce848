"""Capacity planning: a measured workload, simulated through the platform's queues, limits, tiers and budgets."""

"""Admin pages of runs and what they run on. Tenants are here again, with what they run and spend."""

from apps.workflows.admin import (
    definitions,
    feedback,
    processes,
    queues,
    steps,
    task_results,
    tenants,
    workflows,
)

__all__ = ["definitions", "feedback", "processes", "queues", "steps", "task_results", "tenants", "workflows"]

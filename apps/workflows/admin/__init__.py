"""Admin pages of runs and what they run on. Tenants are here again, with what they run and spend."""

from apps.workflows.admin import (
    approvals,
    cached_answers,
    dead_letters,
    definitions,
    feedback,
    processes,
    queues,
    schedules,
    sessions,
    steps,
    task_results,
    tenants,
    workflows,
)

__all__ = [
    "approvals",
    "cached_answers",
    "dead_letters",
    "definitions",
    "feedback",
    "processes",
    "queues",
    "schedules",
    "sessions",
    "steps",
    "task_results",
    "tenants",
    "workflows",
]

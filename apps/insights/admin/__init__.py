"""The pages of this app: the front page, projections and costs, profiles of tasks, drift and plans."""

from apps.insights.admin import capacity, profiles, projections

__all__ = ["capacity", "profiles", "projections"]

"""The pages of this app: the front page, projections and costs, profiles of tasks and drift."""

from apps.insights.admin import profiles, projections

__all__ = ["profiles", "projections"]

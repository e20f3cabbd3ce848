"""Indexes for runs in sessions and for those that steps start, built while rows are written."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("workflows", "0017_richer_definitions")]

    operations = [
        AddIndexConcurrently(
            model_name="workflow",
            index=models.Index(
                condition=models.Q(("session__isnull", False)),
                fields=["session", "-id"],
                name="workflows_workflow_session",
            ),
        ),
        AddIndexConcurrently(
            model_name="workflow",
            index=models.Index(
                condition=models.Q(("finished_at", None), models.Q(("parent_id", None), _negated=True)),
                fields=["id"],
                name="workflows_workflow_nested",
            ),
        ),
        AddIndexConcurrently(
            model_name="step",
            index=models.Index(
                condition=models.Q(("status", "waiting"), ("waiting_for", "workflow")),
                fields=["id"],
                name="workflows_step_nested",
            ),
        ),
        AddIndexConcurrently(
            model_name="workflow",
            index=models.Index(
                condition=models.Q(("parent_id", None), _negated=True),
                fields=["parent_id", "-id"],
                name="workflows_workflow_parent",
            ),
        ),
        AddIndexConcurrently(
            model_name="workflow",
            index=models.Index(
                condition=models.Q(("parent_step_id", None), _negated=True),
                fields=["parent_step_id", "-id"],
                name="workflows_workflow_step",
            ),
        ),
        AddIndexConcurrently(
            model_name="workflow",
            index=models.Index(
                condition=models.Q(("root_id", None), _negated=True),
                fields=["root_id", "-id"],
                name="workflows_workflow_root",
            ),
        ),
    ]

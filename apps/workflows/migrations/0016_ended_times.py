"""What ended when, for profiles of tasks: indexes of blocks, built while steps are written."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False  # an index on a large table is built while rows are written to it

    dependencies = [("workflows", "0015_sessions")]

    operations = [
        AddIndexConcurrently(
            model_name="step",
            index=BrinIndex(
                fields=["finished_at"], name="workflows_step_ended", pages_per_range=32, autosummarize=True
            ),
        ),
        AddIndexConcurrently(
            model_name="workflow",
            index=BrinIndex(
                fields=["finished_at"],
                name="workflows_workflow_ended",
                pages_per_range=32,
                autosummarize=True,
            ),
        ),
    ]

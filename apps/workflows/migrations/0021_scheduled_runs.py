"""The index of runs by their schedule, built while rows are written."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("workflows", "0020_schedules")]

    operations = [
        AddIndexConcurrently(
            model_name="workflow",
            index=models.Index(
                condition=models.Q(("schedule_id", None), _negated=True),
                fields=["schedule_id", "-id"],
                name="workflows_workflow_schedule",
            ),
        ),
    ]

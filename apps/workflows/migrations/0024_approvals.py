"""What waits for somebody's approval, as a list and by an index."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index on a large table is built while rows are written to it

    dependencies = [
        ("tenants", "0006_session_retention"),
        ("workflows", "0023_bounded_signals"),
    ]

    operations = [
        migrations.CreateModel(
            name="AwaitedApproval",
            fields=[],
            options={
                "verbose_name": "approval",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("workflows.step",),
        ),
        AddIndexConcurrently(
            model_name="step",
            index=models.Index(
                condition=models.Q(("status", "waiting"), ("waiting_for", "approval")),
                fields=["tenant", "workflow"],
                name="workflows_step_asking",
            ),
        ),
    ]

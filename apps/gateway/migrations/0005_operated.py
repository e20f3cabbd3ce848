"""What operators do to circuits and providers, and quick ways to the calls that they look for."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index on a large table is built while calls are written to it

    dependencies = [
        ("gateway", "0004_providers"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="circuittrip",
            options={
                "ordering": ["-opened_at"],
                "permissions": [("operate_circuittrip", "Can open and reset circuits")],
                "verbose_name": "circuit trip",
            },
        ),
        migrations.AlterModelOptions(
            name="provider",
            options={
                "ordering": ["name"],
                "permissions": [("check_provider", "Can ask a provider whether it answers")],
            },
        ),
        AddIndexConcurrently(
            model_name="call",
            index=models.Index(
                condition=models.Q(("escalated_from", ""), _negated=True),
                fields=["-id"],
                name="gateway_call_escalated",
            ),
        ),
        AddIndexConcurrently(
            model_name="call",
            index=models.Index(
                condition=models.Q(("lane", "live"), _negated=True), fields=["-id"], name="gateway_call_later"
            ),
        ),
    ]

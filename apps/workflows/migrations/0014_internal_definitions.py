"""Definitions that the platform starts itself."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0013_cached_results"), ("notifications", "0004_emitting")]

    operations = [
        migrations.AddField(
            model_name="workflowdefinition",
            name="is_internal",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Started by the platform alone, and not shown to tenants.",
            ),
        ),
        migrations.RunSQL(
            (SQL / "0014_internal_definitions.sql").read_text(),
            """
            DROP TRIGGER workflows_leave_out_internal ON notifications_delivery;
            DROP FUNCTION workflows_leave_out_internal;
            """,
        ),
    ]

"""Webhooks that tell of a workflow's end, written in the transaction that ends it."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def workflows_end_before() -> str:
    """The function as the migration of dead letters made it."""
    before = (SQL / "0006_dead_letters.sql").read_text()
    start = before.index("CREATE OR REPLACE FUNCTION workflows_end")
    return before[start : before.index("END $$;", start)] + "END $$;"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0009_batches"), ("notifications", "0003_taking")]

    operations = [
        migrations.RunSQL(
            (SQL / "0011_ended_webhooks.sql").read_text(),
            f"""
            DROP TRIGGER workflows_complete_finished ON notifications_delivery;
            DROP FUNCTION workflows_complete_finished;
            {workflows_end_before()}
            """,
        ),
    ]

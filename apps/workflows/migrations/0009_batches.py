"""Steps whose model calls go with batches: left there, settled, woken."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0008_waits"), ("gateway", "0006_batches")]

    operations = [
        migrations.RunSQL(
            (SQL / "0010_batches.sql").read_text(),
            """
            DROP FUNCTION workflows_leave_to_batch; DROP FUNCTION workflows_settle_batch;
            DROP FUNCTION workflows_wake_batched; DROP FUNCTION workflows_withdraw_batched;
            """,
        ),
    ]

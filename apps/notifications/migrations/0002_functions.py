"""Functions of the database that make deliveries and take those that are due."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial")]

    operations = [
        migrations.RunSQL(
            (SQL / "0001_deliveries.sql").read_text(),
            """
            DROP FUNCTION notifications_take; DROP FUNCTION notifications_emit; DROP FUNCTION notifications_uuid7;
            """,
        ),
    ]

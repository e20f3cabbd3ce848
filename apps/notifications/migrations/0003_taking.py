"""Deliveries are taken by age, or by the id of a hint."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_functions")]

    operations = [
        migrations.RunSQL(
            (SQL / "0002_taking.sql").read_text(),
            """
            DROP FUNCTION notifications_take;
            CREATE FUNCTION notifications_take(float, int, int, int)
            RETURNS TABLE (delivery_id uuid, lease int) LANGUAGE sql AS $$ SELECT NULL::uuid, NULL::int LIMIT 0 $$;
            """,
        ),
    ]

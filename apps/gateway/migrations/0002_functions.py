"""Functions of the database that change gateway data, fenced and in one round trip."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def run_sql(name: str, reverse: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / name).read_text(), reverse)


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_initial"), ("budgets", "0002_functions")]

    operations = [
        run_sql(
            "0001_journal.sql",
            "DROP FUNCTION gateway_start_call(jsonb); DROP FUNCTION gateway_settle(jsonb); DROP FUNCTION gateway_settled_calls(uuid); DROP FUNCTION gateway_abandon_calls(uuid, int);",
        ),
    ]

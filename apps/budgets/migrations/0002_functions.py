"""Functions of the database that change budgets data, fenced and in one round trip."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def run_sql(name: str, reverse: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / name).read_text(), reverse)


class Migration(migrations.Migration):
    dependencies = [("budgets", "0001_initial")]

    operations = [
        run_sql(
            "0001_ledger.sql",
            "DROP FUNCTION budgets_append(jsonb); DROP FUNCTION budgets_ledger_is_append_only() CASCADE;",
        ),
    ]

"""Answers that were kept are entered in the ledger at no cost."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("budgets", "0006_cache_tables")]

    operations = [
        migrations.RunSQL(
            (SQL / "0004_cache_hits.sql").read_text(), "DROP FUNCTION budgets_enter_result(jsonb, uuid);"
        ),
    ]

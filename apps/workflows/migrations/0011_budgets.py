"""Steps whose calls are reserved for in budgets, and that are held where there is no room."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0010_ended_webhooks"), ("gateway", "0007_budgeted_calls")]

    operations = [
        migrations.RunSQL((SQL / "0012_budgets.sql").read_text(), migrations.RunSQL.noop),
    ]

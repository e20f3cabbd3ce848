"""A run keeps no more signals than it could use."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0022_nested_costs")]

    operations = [
        migrations.RunSQL((SQL / "0023_bounded_signals.sql").read_text(), migrations.RunSQL.noop),
    ]

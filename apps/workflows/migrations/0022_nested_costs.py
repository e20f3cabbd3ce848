"""What nested runs cost together is read at one moment, under locks that are taken in one order."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0021_scheduled_runs")]

    operations = [
        migrations.RunSQL((SQL / "0022_nested_costs.sql").read_text(), migrations.RunSQL.noop),
    ]

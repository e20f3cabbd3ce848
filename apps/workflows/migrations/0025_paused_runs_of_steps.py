"""A nested run that is resumed may be held."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0024_approvals")]

    operations = [
        migrations.RunSQL((SQL / "0025_paused_runs_of_steps.sql").read_text(), migrations.RunSQL.noop),
    ]

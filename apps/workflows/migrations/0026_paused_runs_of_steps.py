"""A run that a step starts is paused where its parent is; one that is resumed may be held."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0025_bounded_requeues")]

    operations = [
        migrations.RunSQL((SQL / "0026_paused_runs_of_steps.sql").read_text(), migrations.RunSQL.noop),
    ]

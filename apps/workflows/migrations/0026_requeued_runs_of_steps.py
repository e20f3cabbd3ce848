"""Requeues keep the bound of fan-outs, and know which of the runs that a step had started count no more."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0025_paused_runs_of_steps")]

    operations = [
        migrations.AddField(
            model_name="step",
            name="restarted_at",
            field=models.DateTimeField(
                help_text="Runs that it had started, and that have ended before, count no more.", null=True
            ),
        ),
        migrations.RunSQL((SQL / "0026_requeued_runs_of_steps.sql").read_text(), migrations.RunSQL.noop),
    ]

"""A bounded fan-out that another one sets free begins with as many elements as may be under way."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0027_requeued_runs_of_steps")]

    operations = [
        migrations.RunSQL((SQL / "0028_first_elements.sql").read_text(), migrations.RunSQL.noop),
    ]

"""A claim carries of the input what its step reads."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0003_operators")]

    operations = [
        # Nothing to reverse: to code that knows no input_fields, the functions answer as those before them.
        migrations.RunSQL((SQL / "0004_step_input.sql").read_text(), migrations.RunSQL.noop),
    ]

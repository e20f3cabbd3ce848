"""What a step gets of its workflow's input; the claim of a later migration asks for it."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0003_operators")]

    operations = [
        # Nothing to reverse: code that knows no input_fields does not call it.
        migrations.RunSQL((SQL / "0004_step_input.sql").read_text(), migrations.RunSQL.noop),
    ]

"""Turns are kept by functions, so that workflows can call them where they start and end."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0003_sessions")]

    operations = [
        migrations.RunSQL((SQL / "0004_turns.sql").read_text(), migrations.RunSQL.noop),
    ]

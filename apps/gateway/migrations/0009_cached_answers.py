"""Answers are kept with their settlement."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("gateway", "0008_cache_tables"), ("budgets", "0007_cache_hits")]

    operations = [
        migrations.RunSQL((SQL / "0005_cached_answers.sql").read_text(), migrations.RunSQL.noop),
    ]

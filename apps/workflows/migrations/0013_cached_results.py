"""A submission that a run has answered before ends at once."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0012_cache_tables"), ("gateway", "0009_cached_answers")]

    operations = [
        migrations.RunSQL((SQL / "0013_cached_results.sql").read_text(), migrations.RunSQL.noop),
    ]

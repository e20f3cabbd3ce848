"""Tool calls are fenced, charged and given up like model calls."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0018_nested_runs"), ("tools", "0002_functions")]

    operations = [
        migrations.RunSQL((SQL / "0019_tool_calls.sql").read_text(), migrations.RunSQL.noop),
    ]

"""Functions of the database that keep the journal of tool calls."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("tools", "0001_initial"), ("budgets", "0009_tool_calls")]

    operations = [
        migrations.RunSQL(
            (SQL / "0001_calls.sql").read_text(),
            """
            DROP FUNCTION tools_calls_before; DROP FUNCTION tools_give_up_calls; DROP FUNCTION tools_end_call;
            DROP FUNCTION tools_enter; DROP FUNCTION tools_start_call;
            """,
        ),
    ]

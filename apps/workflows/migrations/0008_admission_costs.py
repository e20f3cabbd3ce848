"""The same admission with fewer reads."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"
ADMIT = "CREATE OR REPLACE FUNCTION workflows_admit("


def function_of(name: str) -> str:
    """workflows_admit, as this file has it."""
    text = (SQL / name).read_text()
    start = text.index(ADMIT)
    return text[start : text.index("END $$;", start) + len("END $$;")]


class Migration(migrations.Migration):
    dependencies = [("workflows", "0007_queue_settings")]

    operations = [
        migrations.RunSQL(function_of("0009_admission_costs.sql"), function_of("0008_admission.sql")),
    ]

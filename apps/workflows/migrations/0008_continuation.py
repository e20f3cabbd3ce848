"""A tenant with its share of the slots gives back the next one at once, while others wait."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def grant_of(name: str) -> str:
    """workflows_grant_continuation as this file has it."""
    text = (SQL / name).read_text()
    start = text.index("CREATE OR REPLACE FUNCTION workflows_grant_continuation(")
    return text[start : text.index("END $$;", start) + len("END $$;")]


class Migration(migrations.Migration):
    dependencies = [("workflows", "0007_queue_settings")]

    operations = [
        migrations.RunSQL(grant_of("0009_continuation.sql"), grant_of("0008_admission.sql")),
    ]

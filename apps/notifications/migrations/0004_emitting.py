"""An event that no endpoint wants costs one look."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def emit_before() -> str:
    """The function as the first migration made it."""
    before = (SQL / "0001_deliveries.sql").read_text()
    start = before.index("CREATE FUNCTION notifications_emit")
    body = before[start : before.index("END $$;", start)] + "END $$;"
    return body.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_taking")]

    operations = [migrations.RunSQL((SQL / "0003_emitting.sql").read_text(), emit_before())]

"""Steps that wait for a provider without a slot, and without an attempt that counts against them."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"

BEFORE = (
    SQL / "0006_dead_letters.sql"
).read_text() + "DROP FUNCTION workflows_start_call(uuid, jsonb, jsonb);"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0007_queue_settings"), ("gateway", "0004_providers")]

    operations = [
        migrations.RunSQL((SQL / "0009_waits.sql").read_text(), BEFORE),
    ]

"""Elements of a bounded fan-out that are requeued start as there is room for them."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0024_approvals")]

    operations = [
        migrations.RunSQL((SQL / "0025_bounded_requeues.sql").read_text(), migrations.RunSQL.noop),
    ]

"""Tools that cost are entered in the ledger as what they are."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("budgets", "0008_hourly_answers")]

    operations = [
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("call", "Call"),
                    ("batch", "Batch"),
                    ("embedding", "Embedding"),
                    ("cache_hit", "Cache Hit"),
                    ("correction", "Correction"),
                    ("tool", "Tool"),
                ],
                default="call",
                max_length=16,
            ),
        ),
        migrations.RunSQL((SQL / "0005_tool_calls.sql").read_text(), migrations.RunSQL.noop),
    ]

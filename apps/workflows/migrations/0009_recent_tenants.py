"""Admission keeps a slot free for tenants that come again and again."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


def function_of(name: str, function: str) -> str:
    """One function of a file, in place of the one that there is."""
    text = (SQL / name).read_text().replace("CREATE OR REPLACE FUNCTION", "CREATE FUNCTION")
    text = text[text.index(f"CREATE FUNCTION {function}(") :]
    end = min(text.find(mark) + len(mark) for mark in ("END $$;", "\n$$;") if mark in text)
    return text[:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


BEFORE = "\n".join(
    (
        function_of("0009_admission_costs.sql", "workflows_admit"),
        function_of("0008_admission.sql", "workflows_lane_facts"),
        function_of("0008_admission.sql", "workflows_grant_continuation"),
        "DROP FUNCTION workflows_seen, workflows_seen_beside;",
    )
)


class Migration(migrations.Migration):
    dependencies = [("workflows", "0008_admission_costs")]

    operations = [
        migrations.AddField(
            model_name="queueconfig",
            name="recent_tenants",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
        migrations.RunSQL((SQL / "0010_recent_tenants.sql").read_text(), BEFORE),
    ]

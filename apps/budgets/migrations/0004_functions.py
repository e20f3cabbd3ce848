"""Windows, slices, reservations and settlement, in the database."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"

REVERSE = """
    DROP TRIGGER budgets_budget_changed ON budgets_budget;
    DROP TRIGGER budgets_override_changed ON budgets_budgetoverride;
    DROP TRIGGER budgets_tenant_tier_changed ON tenants_tenant;
    DROP TRIGGER budgets_begin_generation ON budgets_budget;
    DROP FUNCTION budgets_windows_to_judge; DROP VIEW budgets_window_usage; DROP FUNCTION budgets_enter; DROP FUNCTION budgets_entered_as_unknown; DROP FUNCTION budgets_lock;
    DROP FUNCTION budgets_settle; DROP FUNCTION budgets_widen; DROP FUNCTION budgets_count; DROP FUNCTION budgets_reserve;
    DROP FUNCTION budgets_take; DROP FUNCTION budgets_refusal; DROP FUNCTION budgets_recall;
    DROP FUNCTION budgets_fold; DROP FUNCTION budgets_room; DROP FUNCTION budgets_begin_generation;
    DROP FUNCTION budgets_budget_changed; DROP FUNCTION budgets_forget_window_sets;
    DROP FUNCTION budgets_throttle_refusal; DROP FUNCTION budgets_window_set; DROP FUNCTION budgets_windows;
    DROP FUNCTION budgets_ledger_since; DROP FUNCTION budgets_applies; DROP FUNCTION budgets_limits;
    DROP FUNCTION budgets_caps;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0003_budgets")]

    operations = [
        migrations.RunSQL((SQL / "0002_windows.sql").read_text(), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "0003_reservations.sql").read_text(), REVERSE),
    ]

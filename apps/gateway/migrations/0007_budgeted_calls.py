"""Calls are reserved for before they are made, and settled in budgets."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"

REVERSE = """
    DROP FUNCTION gateway_reserve_call; DROP FUNCTION gateway_give_up_calls;
    DROP FUNCTION gateway_take_back_calls; DROP FUNCTION gateway_calls_in_flight;
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0006_batches"), ("budgets", "0004_functions")]

    operations = [migrations.RunSQL((SQL / "0004_budgeted_calls.sql").read_text(), REVERSE)]

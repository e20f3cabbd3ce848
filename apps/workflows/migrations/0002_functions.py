"""Functions of the database that change workflows data, fenced and in one round trip."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


def run_sql(name: str, reverse: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / name).read_text(), reverse)


class Migration(migrations.Migration):
    dependencies = [("workflows", "0001_initial"), ("gateway", "0002_functions")]

    operations = [
        migrations.RunSQL(
            # Hot tables: room on each page for updates in place, and a vacuum that keeps up.
            """
            ALTER TABLE workflows_step SET (
                fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
            ALTER TABLE workflows_workflow SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
            ALTER TABLE workflows_lane SET (fillfactor = 50, autovacuum_vacuum_threshold = 200);
            ALTER TABLE workflows_queueconfig SET (fillfactor = 50, autovacuum_vacuum_threshold = 200);
            """,
            migrations.RunSQL.noop,
        ),
        run_sql(
            "0001_state.sql",
            "DROP FUNCTION workflows_apply; DROP FUNCTION workflows_end; DROP FUNCTION workflows_mark_lane; DROP FUNCTION workflows_node_output; DROP FUNCTION workflows_state; DROP FUNCTION workflows_uuid7;",
        ),
        run_sql(
            "0002_admission.sql",
            "DROP FUNCTION workflows_mark_lost_lanes; DROP FUNCTION workflows_wake_due; DROP FUNCTION workflows_overdue_hints; DROP FUNCTION workflows_grant_continuation; DROP FUNCTION workflows_admit_all; DROP FUNCTION workflows_admit; DROP FUNCTION workflows_parent_task; DROP FUNCTION workflows_celery_queue; DROP FUNCTION workflows_live_slots;",
        ),
        run_sql(
            "0003_execution.sql",
            "DROP FUNCTION workflows_start; DROP FUNCTION workflows_still_running; DROP FUNCTION workflows_start_call; DROP FUNCTION workflows_settle; DROP FUNCTION workflows_expired; DROP FUNCTION workflows_renew; DROP FUNCTION workflows_finish; DROP FUNCTION workflows_unfinished; DROP FUNCTION workflows_claim; DROP FUNCTION workflows_running_event; DROP FUNCTION workflows_take;",
        ),
    ]

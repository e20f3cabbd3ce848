"""Settings of queues and of tiers in them, tenants' allowances, and admission within them."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

SQL = Path(__file__).parent / "sql"

# The columns are new, so nothing that an operator has set is lost.
QUEUES = """
    UPDATE workflows_queueconfig AS queue SET
        dedicated_slots = own.dedicated, lendable_slots = own.lendable, borrowable_slots = own.borrowable
    FROM (VALUES ('interactive', 10, 0, 0), ('standard', 5, 0, 15), ('batch', 20, 15, 0))
        AS own(name, dedicated, lendable, borrowable)
    WHERE queue.name = own.name;
    ALTER TABLE workflows_allowance SET (fillfactor = 50, autovacuum_vacuum_threshold = 200);
"""

# Admission as it was before, and nothing of what came with this one.
BEFORE = (
    (SQL / "0002_admission.sql").read_text().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    + """
    DROP FUNCTION workflows_rate_wait, workflows_rate_due, workflows_pool_slots, workflows_shared_slots,
        workflows_share_cap, workflows_reserved_slots, workflows_mark_yielding, workflows_review_lanes,
        workflows_account, workflows_lane_facts, workflows_queue_signals, workflows_virtual_time,
        workflows_seen, workflows_seen_beside;
    CREATE OR REPLACE FUNCTION workflows_mark_lane(p_queue text, p_tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO workflows_lane AS lane (queue_id, tenant_id, virtual_time, backlogged)
        VALUES (p_queue, p_tenant, 0, true)
        ON CONFLICT (queue_id, tenant_id) DO UPDATE SET backlogged = true WHERE NOT lane.backlogged;
    END $$;
"""
)


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_limits"),
        ("workflows", "0006_dead_letters"),
    ]

    operations = [
        migrations.CreateModel(
            name="Allowance",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("steps_due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tokens_due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="QueuePace",
            fields=[
                (
                    "queue",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="pace",
                        serialize=False,
                        to="workflows.queueconfig",
                    ),
                ),
                ("steps", models.FloatField(default=0.0)),
                ("seconds", models.FloatField(default=0.0)),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AddField(
            model_name="heartbeat",
            name="home",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=64), db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="heartbeat",
            name="is_lendable",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="heartbeat",
            name="node",
            field=models.CharField(db_default="", default="", max_length=128),
        ),
        migrations.AddField(
            model_name="lane",
            name="held",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="lane",
            name="must_yield",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="borrow_after_seconds",
            field=models.FloatField(
                db_default=10.0,
                default=10.0,
                help_text="It borrows once a step has waited for a slot so long.",
            ),
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="borrowable_slots",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="How many slots of other queues it may borrow."
            ),
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="dedicated_slots",
            field=models.PositiveIntegerField(
                db_default=5,
                default=5,
                help_text="Slots that its own workers should have. What is not lendable of them is never lent.",
            ),
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="lendable_slots",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="How many of its own slots may be lent to another queue."
            ),
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="recent_tenants",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="virtual_times",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
        migrations.CreateModel(
            name="QueuePool",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "guaranteed_percent",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Percent of the slots that its tenants get first, however many others wait.",
                    ),
                ),
                (
                    "max_concurrent",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How many steps of all its tenants may run at once; empty for no limit.",
                        null=True,
                    ),
                ),
                (
                    "queue",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pools",
                        to="workflows.queueconfig",
                    ),
                ),
                (
                    "tier",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenanttier"
                    ),
                ),
            ],
            options={
                "verbose_name": "pool",
                "ordering": ["queue_id", "tier_id"],
                "constraints": [
                    models.UniqueConstraint(fields=("queue", "tier"), name="workflows_pool_once")
                ],
            },
        ),
        migrations.RunSQL(QUEUES, migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "0008_admission.sql").read_text(), BEFORE),
    ]

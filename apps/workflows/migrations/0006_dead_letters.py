"""Dead letters, requeues, pausing, and attempts that are taken from workers when the step's time is up."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import agentplatform.identifiers

SQL = Path(__file__).parent / "sql"


def before(*names: str) -> str:
    """The functions as they were before, to take their place again."""
    texts = [
        (SQL / name).read_text().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION") for name in names
    ]
    return "\n".join(texts)


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_default_permissions"),
        ("workflows", "0005_feedback"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="workflow",
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("cancel_workflow", "Can cancel workflows"),
                    ("pause_workflow", "Can pause and resume workflows"),
                ],
            },
        ),
        migrations.AddField(
            model_name="queueconfig",
            name="max_lost_workers",
            field=models.PositiveIntegerField(
                db_default=3,
                default=3,
                help_text="A step on which so many workers were lost is taken to be what kills them: it is a dead letter.",
            ),
        ),
        migrations.AddField(
            model_name="step",
            name="attempts_before",
            field=models.IntegerField(
                db_default=0, default=0, help_text="Attempts before it was last requeued: they count no more."
            ),
        ),
        migrations.AlterField(
            model_name="step",
            name="waiting_for",
            field=models.CharField(
                choices=[
                    ("approval", "approval"),
                    ("signal", "signal"),
                    ("timer", "timer"),
                    ("provider_batch", "provider_batch"),
                    ("budget", "budget"),
                    ("rate", "rate"),
                    ("resume", "resume"),
                ],
                max_length=16,
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="DeadLetterGroup",
            fields=[
                ("fingerprint", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("agent", models.CharField(max_length=64)),
                ("error_class", models.CharField(blank=True, max_length=200)),
                ("error_code", models.CharField(max_length=64)),
                ("error_message", models.TextField(blank=True, help_text="That of the latest letter.")),
                ("letters", models.PositiveBigIntegerField(default=0)),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("notified_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "group of dead letters",
                "verbose_name_plural": "groups of dead letters",
                "ordering": ["-last_seen_at"],
                "indexes": [models.Index(fields=["-last_seen_at"], name="workflows_lettergroup_seen")],
            },
        ),
        migrations.CreateModel(
            name="OperatorAction",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                (
                    "actor",
                    models.CharField(
                        help_text="Who it was, in words that outlast user and key.", max_length=250
                    ),
                ),
                (
                    "affected",
                    models.PositiveIntegerField(help_text="How many workflows or letters were changed."),
                ),
                ("details", models.JSONField()),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="tenants.apikey",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "operation",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("attempt", models.IntegerField(help_text="The attempt that was its last.")),
                ("type", models.CharField(max_length=64)),
                ("key", models.CharField(max_length=80)),
                ("agent", models.CharField(max_length=64)),
                ("queue", models.CharField(max_length=32)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("exhausted", "exhausted"),
                            ("permanent", "permanent"),
                            ("poison", "poison"),
                            ("out_of_time", "out_of_time"),
                        ],
                        max_length=16,
                    ),
                ),
                ("error_class", models.CharField(blank=True, max_length=200)),
                ("error_code", models.CharField(max_length=64)),
                ("error_message", models.TextField(blank=True)),
                ("fingerprint", models.CharField(max_length=32)),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("requeued", "Requeued"), ("discarded", "Discarded")],
                        default="open",
                        max_length=16,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("filed_at", models.DateTimeField(help_text="When it was counted in its group.", null=True)),
                ("resolved_at", models.DateTimeField(null=True)),
                (
                    "resolution",
                    models.CharField(blank=True, help_text="Why it was discarded.", max_length=500),
                ),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="workflows.step",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "workflow",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="dead_letters",
                        to="workflows.workflow",
                    ),
                ),
                (
                    "operation",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="letters",
                        to="workflows.operatoraction",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("requeue_deadletter", "Can requeue dead letters"),
                    ("discard_deadletter", "Can discard dead letters"),
                ],
                "indexes": [
                    models.Index(fields=["fingerprint", "status", "-id"], name="workflows_deadletter_group"),
                    models.Index(fields=["status", "-id"], name="workflows_deadletter_status"),
                    models.Index(fields=["tenant", "-id"], name="workflows_deadletter_tenant"),
                    models.Index(fields=["workflow"], name="workflows_deadletter_workflow"),
                    models.Index(
                        condition=models.Q(("filed_at", None)),
                        fields=["created_at"],
                        name="workflows_deadletter_unfiled",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("step", "attempt"), name="workflows_deadletter_once")
                ],
            },
        ),
        migrations.RunSQL(
            (SQL / "0006_dead_letters.sql").read_text(),
            before("0001_state.sql", "0003_execution.sql", "0004_step_input.sql"),
        ),
        migrations.RunSQL(
            (SQL / "0007_requeueing.sql").read_text(),
            "DROP FUNCTION workflows_file_letters; DROP FUNCTION workflows_requeue;",
        ),
    ]

"""Schedules: runs that start by the clock."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import agentplatform.identifiers


class Migration(migrations.Migration):
    dependencies = [
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        ("knowledge", "0004_turns"),
        ("tenants", "0006_session_retention"),
        ("workflows", "0019_tool_calls"),
    ]

    operations = [
        migrations.CreateModel(
            name="Schedule",
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
                ("name", models.CharField(help_text="One of its own among the tenant's.", max_length=100)),
                (
                    "type",
                    models.CharField(
                        help_text="Of the workflow; its current version when the time comes.", max_length=64
                    ),
                ),
                ("input", models.JSONField(blank=True, default=dict)),
                ("deadline_seconds", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "max_cost_usd_micros",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Of a run, in micro-dollars: 1000000 is a dollar.",
                        null=True,
                        verbose_name="max cost",
                    ),
                ),
                ("metadata", models.JSONField(blank=True, default=dict)),
                (
                    "cron",
                    models.CharField(
                        blank=True,
                        help_text="Minute, hour, day of the month, month, day of the week: 30 7 * * 1-5.",
                        max_length=200,
                    ),
                ),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                (
                    "every_seconds",
                    models.PositiveIntegerField(
                        blank=True, help_text="In place of a cron expression.", null=True
                    ),
                ),
                (
                    "overlap",
                    models.CharField(
                        choices=[
                            ("skip", "skip while the last run has not ended"),
                            ("allow", "start beside it"),
                        ],
                        default="skip",
                        max_length=8,
                    ),
                ),
                ("starts_at", models.DateTimeField(blank=True, null=True)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("is_enabled", models.BooleanField(default=True)),
                ("next_run_at", models.DateTimeField(editable=False, null=True)),
                ("last_run_at", models.DateTimeField(editable=False, null=True)),
                ("last_workflow_id", models.UUIDField(editable=False, null=True)),
                ("last_skipped_at", models.DateTimeField(editable=False, null=True)),
                ("last_error", models.TextField(blank=True, editable=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [("run_schedule", "Can start schedules at once")],
            },
        ),
        migrations.AddField(
            model_name="workflow",
            name="schedule_id",
            field=models.UUIDField(help_text="The schedule that has started it.", null=True),
        ),
        migrations.AddField(
            model_name="schedule",
            name="api_key",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="tenants.apikey",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="periodic_task",
            field=models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="django_celery_beat.periodictask",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="queue",
            field=models.ForeignKey(
                default="standard",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="workflows.queueconfig",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="schedules", to="tenants.tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="workflows_schedule_name"),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cron", ""), ("every_seconds__isnull", False)),
                    models.Q(models.Q(("cron", ""), _negated=True), ("every_seconds__isnull", True)),
                    _connector="OR",
                ),
                name="workflows_schedule_cron_or_every",
                violation_error_message="Give either a cron expression or every_seconds.",
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("overlap__in", ["skip", "allow"])),
                name="workflows_schedule_overlap_known",
            ),
        ),
    ]

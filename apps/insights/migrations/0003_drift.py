"""Drift: windows, readings and references."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("insights", "0002_task_profiles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="DriftWindow",
            fields=[
                ("starts_at", models.DateTimeField(primary_key=True, serialize=False)),
                ("ends_at", models.DateTimeField()),
                ("reference_starts_at", models.DateTimeField()),
                ("reference_ends_at", models.DateTimeField()),
                (
                    "reference_windows",
                    models.IntegerField(
                        help_text="How many windows of the reference there were profiles of."
                    ),
                ),
                ("runs", models.IntegerField(help_text="That ended in the window.")),
                ("compared", models.IntegerField(help_text="How many measures there was enough of.")),
                ("shifted", models.IntegerField(help_text="How many of them had shifted.")),
                ("computed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-starts_at"],
            },
        ),
        migrations.CreateModel(
            name="DriftReference",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("note", models.CharField(blank=True, max_length=200)),
                ("is_active", models.BooleanField(default=True, verbose_name="in force")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))),
                        name="insights_reference_has_length",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DriftReading",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "task_type",
                    models.CharField(blank=True, help_text="Empty of the whole platform.", max_length=64),
                ),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("task_mix", "mix of task types"),
                            ("tier_mix", "mix of model tiers"),
                            ("input_tokens", "input tokens of a call"),
                            ("output_tokens", "output tokens of a call"),
                            ("execution_seconds", "seconds of a step"),
                            ("cache_share", "share from a cache"),
                            ("refusal_share", "refused share"),
                            ("escalation_share", "escalated share"),
                            ("retry_share", "retried share"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "moved",
                    models.CharField(blank=True, help_text="Of a mix, what moved most.", max_length=64),
                ),
                ("reference_value", models.FloatField()),
                ("window_value", models.FloatField()),
                (
                    "stability_index",
                    models.FloatField(
                        help_text="The population stability index, less what chance adds to it."
                    ),
                ),
                ("p_value", models.FloatField()),
                (
                    "reference_units",
                    models.IntegerField(help_text="Runs, in the reference's windows of this time of day."),
                ),
                ("window_units", models.IntegerField(help_text="Runs in the window.")),
                ("is_drift", models.BooleanField()),
                ("cost_a_day_usd_micros", models.BigIntegerField(null=True)),
                (
                    "window",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="readings",
                        to="insights.driftwindow",
                    ),
                ),
            ],
            options={
                "ordering": ["-window", "-is_drift", "p_value"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_drift", True)),
                        fields=["-window"],
                        name="insights_drift_shifted",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("window", "task_type", "measure"), name="insights_drift_once"
                    )
                ],
            },
        ),
    ]

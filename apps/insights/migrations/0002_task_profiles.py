"""Profiles of tasks, by the hour."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("insights", "0001_forecasts"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProfiledHour",
            fields=[
                ("hour", models.DateTimeField(primary_key=True, serialize=False)),
                ("computed_at", models.DateTimeField()),
                ("took_seconds", models.FloatField()),
            ],
            options={
                "ordering": ["-hour"],
            },
        ),
        migrations.CreateModel(
            name="HourlyCallProfile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("task_type", models.CharField(max_length=64)),
                ("node", models.CharField(max_length=64)),
                ("agent", models.CharField(max_length=64)),
                ("tier", models.CharField(max_length=16)),
                ("provider", models.CharField(max_length=64)),
                ("model", models.CharField(max_length=128)),
                ("kind", models.CharField(max_length=16)),
                ("counts", models.JSONField()),
                ("sketches", models.JSONField()),
            ],
            options={
                "ordering": ["-hour", "task_type", "node", "agent", "tier", "provider", "model", "kind"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "task_type", "node", "agent", "tier", "provider", "model", "kind"),
                        name="insights_call_profile_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HourlyRunProfile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("task_type", models.CharField(max_length=64)),
                ("queue", models.CharField(max_length=64)),
                ("tenant_tier", models.CharField(max_length=32)),
                ("counts", models.JSONField()),
                ("sketches", models.JSONField()),
            ],
            options={
                "verbose_name": "task profile",
                "ordering": ["-hour", "task_type", "queue", "tenant_tier"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "task_type", "queue", "tenant_tier"), name="insights_run_profile_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HourlyStepProfile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("task_type", models.CharField(max_length=64)),
                ("queue", models.CharField(max_length=64)),
                ("node", models.CharField(max_length=64)),
                ("agent", models.CharField(max_length=64)),
                ("tier", models.CharField(max_length=16)),
                ("counts", models.JSONField()),
                ("sketches", models.JSONField()),
            ],
            options={
                "ordering": ["-hour", "task_type", "queue", "node", "agent", "tier"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "task_type", "queue", "node", "agent", "tier"),
                        name="insights_step_profile_once",
                    )
                ],
            },
        ),
    ]

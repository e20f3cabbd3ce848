"""Conditions, loops, bounded fan-outs, steps added at run time, runs of steps, approvals, signals, replays."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

SQL = Path(__file__).parent / "sql"


def sql(name: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / f"0017_{name}.sql").read_text(), migrations.RunSQL.noop)


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0004_turns"),
        ("tenants", "0006_session_retention"),
        ("workflows", "0016_ended_times"),
    ]

    operations = [
        migrations.CreateModel(
            name="Signal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(choices=[("signal", "Signal"), ("approval", "Approval")], max_length=16),
                ),
                ("name", models.CharField(help_text="Of an approval, the key of its step.", max_length=130)),
                ("payload", models.JSONField()),
                ("sender", models.CharField(max_length=200)),
                ("step_id", models.UUIDField(help_text="The step that has taken it.", null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.AddField(
            model_name="workflow",
            name="added_steps",
            field=models.JSONField(
                db_default=[], default=list, help_text="Steps that its agents have added."
            ),
        ),
        migrations.AddField(
            model_name="workflow",
            name="depth",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="workflow",
            name="parent_id",
            field=models.UUIDField(help_text="The run whose step has started it.", null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="parent_step_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="root_id",
            field=models.UUIDField(help_text="The run that was submitted, in which it is nested.", null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="source_id",
            field=models.UUIDField(help_text="The run that it replays or forks.", null=True),
        ),
        migrations.AlterField(
            model_name="step",
            name="index",
            field=models.IntegerField(
                help_text="Which element of its list, or which iteration of a loop.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="step",
            name="status",
            field=models.CharField(
                choices=[
                    ("blocked", "blocked"),
                    ("ready", "ready"),
                    ("dispatched", "dispatched"),
                    ("running", "running"),
                    ("waiting", "waiting"),
                    ("succeeded", "succeeded"),
                    ("skipped", "skipped"),
                    ("omitted", "omitted"),
                    ("dead", "dead"),
                    ("cancelled", "cancelled"),
                ],
                max_length=16,
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
                    ("workflow", "workflow"),
                ],
                max_length=16,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="signal",
            name="workflow",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="signals",
                to="workflows.workflow",
            ),
        ),
        migrations.AddIndex(
            model_name="signal",
            index=models.Index(fields=["workflow", "name", "id"], name="workflows_signal_name"),
        ),
        migrations.AddConstraint(
            model_name="signal",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "approval")),
                fields=("workflow", "name"),
                name="workflows_signal_one_answer",
            ),
        ),
        migrations.AddConstraint(
            model_name="signal",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["signal", "approval"])), name="workflows_signal_kind_known"
            ),
        ),
        migrations.AlterModelOptions(
            name="step",
            options={
                "ordering": ["workflow_id", "position", "index"],
                "permissions": [("approve_step", "Can approve and reject steps")],
            },
        ),
        sql("richer_definitions"),
        sql("signals"),
        sql("runs_of_steps"),
    ]

"""Limits per minute, and limits of a tenant's own."""

from django.db import migrations, models

TIERS = """
    UPDATE tenants_tenanttier AS tier SET
        requests_per_minute = granted.requests, steps_per_minute = granted.steps, tokens_per_minute = granted.tokens
    FROM (VALUES ('standard', 600, 600, 200000), ('enterprise', 6000, 6000, 2000000))
        AS granted(name, requests, steps, tokens)
    WHERE tier.name = granted.name;
"""

# What holds for a tenant: its own limit, else its tier's.
VIEW = """
    CREATE VIEW tenants_limits AS
    SELECT t.id AS tenant_id, t.status, t.tier_id AS tier, tier.pool,
           coalesce(t.weight, tier.weight) AS weight,
           coalesce(t.max_concurrent_steps, tier.max_concurrent_steps) AS max_concurrent_steps,
           coalesce(t.steps_per_minute, tier.steps_per_minute) AS steps_per_minute,
           coalesce(t.tokens_per_minute, tier.tokens_per_minute) AS tokens_per_minute
    FROM tenants_tenant t JOIN tenants_tenanttier tier ON tier.name = t.tier_id;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_default_permissions"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="max_concurrent_steps",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="requests_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="steps_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="tokens_per_minute",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="weight",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenanttier",
            name="requests_per_minute",
            field=models.PositiveIntegerField(
                db_default=60,
                default=60,
                help_text="How many requests of one tenant the API takes in a minute.",
            ),
        ),
        migrations.AddField(
            model_name="tenanttier",
            name="steps_per_minute",
            field=models.PositiveIntegerField(
                db_default=60, default=60, help_text="How many steps of one tenant may start in a minute."
            ),
        ),
        migrations.AddField(
            model_name="tenanttier",
            name="tokens_per_minute",
            field=models.PositiveIntegerField(
                db_default=20000,
                default=20000,
                help_text="How many tokens the steps of one tenant may use in a minute: estimated at their start, corrected at their end.",
            ),
        ),
        migrations.AlterField(
            model_name="tenanttier",
            name="max_concurrent_steps",
            field=models.PositiveIntegerField(
                default=5, help_text="How many steps of one tenant may run at once, over all queues."
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("requests_per_minute__gte", 1),
                    ("steps_per_minute__gte", 1),
                    ("tokens_per_minute__gte", 1),
                    ("max_concurrent_steps__gte", 1),
                    ("weight__gte", 1),
                ),
                name="tenants_tenant_limits_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenanttier",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("requests_per_minute__gte", 1),
                    ("steps_per_minute__gte", 1),
                    ("tokens_per_minute__gte", 1),
                ),
                name="tenants_tier_rates_positive",
            ),
        ),
        # The columns are new, so nothing that an operator has set is lost.
        migrations.RunSQL(TIERS, migrations.RunSQL.noop),
        migrations.RunSQL(VIEW, "DROP VIEW tenants_limits"),
    ]

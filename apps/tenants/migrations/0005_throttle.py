"""A tenant may be throttled: its concurrency and rates are cut to a share."""

from django.db import migrations, models

VIEW = """
    CREATE OR REPLACE VIEW tenants_limits AS
    SELECT t.id AS tenant_id, t.status, t.tier_id AS tier, tier.pool,
           coalesce(t.weight, tier.weight) AS weight,
           tenants_throttled(coalesce(t.max_concurrent_steps, tier.max_concurrent_steps), t.throttle_percent)
               AS max_concurrent_steps,
           tenants_throttled(coalesce(t.steps_per_minute, tier.steps_per_minute), t.throttle_percent)
               AS steps_per_minute,
           tenants_throttled(coalesce(t.tokens_per_minute, tier.tokens_per_minute), t.throttle_percent)
               AS tokens_per_minute
    FROM tenants_tenant t JOIN tenants_tenanttier tier ON tier.name = t.tier_id;
"""

# At least one, so that work goes on.
FUNCTION = """
    CREATE FUNCTION tenants_throttled(p_limit int, p_percent int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE WHEN p_percent IS NULL THEN p_limit
                    ELSE greatest(1, (p_limit::bigint * p_percent / 100)::int) END
    $$;
"""

BEFORE = """
    CREATE OR REPLACE VIEW tenants_limits AS
    SELECT t.id AS tenant_id, t.status, t.tier_id AS tier, tier.pool,
           coalesce(t.weight, tier.weight) AS weight,
           coalesce(t.max_concurrent_steps, tier.max_concurrent_steps) AS max_concurrent_steps,
           coalesce(t.steps_per_minute, tier.steps_per_minute) AS steps_per_minute,
           coalesce(t.tokens_per_minute, tier.tokens_per_minute) AS tokens_per_minute
    FROM tenants_tenant t JOIN tenants_tenanttier tier ON tier.name = t.tier_id;
    DROP FUNCTION tenants_throttled;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_max_model_tier")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="throttle_percent",
            field=models.PositiveSmallIntegerField(
                blank=True,
                editable=False,
                help_text="The share of its concurrency and rates that budgets leave it at the moment.",
                null=True,
            ),
        ),
        migrations.RunSQL(FUNCTION + VIEW, BEFORE),
    ]

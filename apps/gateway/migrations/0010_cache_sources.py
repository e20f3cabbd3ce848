"""Whom the answers of a run were given to."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.fields.json import KT


class Migration(migrations.Migration):
    atomic = False  # an index on a large table is built while calls are written to it

    dependencies = [("gateway", "0009_cached_answers")]

    operations = [
        AddIndexConcurrently(
            model_name="call",
            index=models.Index(
                KT("cache__source_workflow_id"),
                condition=models.Q(("cache__isnull", False)),
                name="gateway_call_cache_source",
            ),
        ),
    ]

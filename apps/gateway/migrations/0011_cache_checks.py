"""When checks were begun, and since when they count."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0010_cache_sources")]

    operations = [
        migrations.AddField(model_name="cachecheck", name="asked_at", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="cachescope",
            name="observed_since",
            field=models.DateTimeField(
                editable=False,
                help_text="What was checked before it was switched on again counts no more.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="cachecheck",
            index=models.Index(
                condition=models.Q(("asked_at__isnull", False)),
                fields=["asked_at"],
                name="gateway_cachecheck_asked",
            ),
        ),
        migrations.AddIndex(
            model_name="cachecheck",
            index=models.Index(
                condition=models.Q(("source", "feedback")),
                fields=["workflow_id"],
                name="gateway_cachecheck_complaint",
            ),
        ),
    ]

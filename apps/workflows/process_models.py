"""Processes of the stack that are alive, and which of them leads."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Heartbeat(models.Model):
    """A process of the stack that is alive: what it serves, and how many slots it has.

    `node` is the name under which Celery controls a worker, and `home` the queues that it was started for: one
    that is lent serves others.
    """

    name = models.CharField(primary_key=True, max_length=128)
    kind = models.CharField(max_length=32)
    node = models.CharField(max_length=128, default="", db_default="")
    home = ArrayField(models.CharField(max_length=64), default=list, db_default=[])
    is_lendable = models.BooleanField(default=False, db_default=False)
    queues = ArrayField(models.CharField(max_length=64), default=list)
    slots = models.PositiveIntegerField(default=0)
    busy = models.PositiveIntegerField(default=0)
    rss_bytes = models.PositiveBigIntegerField(default=0)
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "process"
        verbose_name_plural = "processes"
        ordering = ["kind", "name"]

    def __str__(self) -> str:
        return self.name


class Leadership(models.Model):
    """Who leads a role, until when: of two dispatchers one works and the other stands by."""

    role = models.CharField(primary_key=True, max_length=32)
    holder = models.CharField(max_length=128)
    expires_at = models.DateTimeField()

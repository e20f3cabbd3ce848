"""The scheduler of Celery's beat: the platform's own upkeep, and the schedules of tenants from the database.

Upkeep by intervals is kept in memory: it comes every few seconds, and its times are worth no row. What comes at set
times has a row, so that a time which passed while beat was down is made up for.
"""

from __future__ import annotations

from typing import Any

from celery.beat import ScheduleEntry
from celery.schedules import crontab
from django.db import transaction
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry


class Upkeep(ScheduleEntry):
    """An entry that is not stored."""

    def save(self) -> None:
        """Nothing is kept of it."""


class Stored(ModelEntry):
    """An entry that has a row."""

    @classmethod
    def from_entry(cls, name: str, app: Any = None, **entry: Any) -> Stored:
        # With its times at once: those that nothing goes by are purged.
        with transaction.atomic():
            return super().from_entry(name, app=app, **entry)


class Beat(DatabaseScheduler):
    """Goes by the configuration for upkeep, and by the database for everything else."""

    Entry = Stored

    def setup_schedule(self) -> None:
        configured = self.app.conf.beat_schedule
        self._upkeep: dict[str, Upkeep] = {
            name: Upkeep(name=name, app=self.app, **fields)
            for name, fields in configured.items()
            if not isinstance(fields["schedule"], crontab)
        }
        self.install_default_entries(self.schedule)
        self.update_from_dict(
            {name: _stored(fields) for name, fields in configured.items() if name not in self._upkeep}
        )

    def all_as_schedule(self) -> dict[str, Any]:
        return {**super().all_as_schedule(), **self._upkeep}

    def enabled_models_qs(self) -> Any:
        # With their times in one statement: between two, a schedule may get others, and the old ones be purged.
        tasks = super().enabled_models_qs().prefetch_related(None)
        return tasks.select_related("interval", "crontab", "solar", "clocked")

    def reserve(self, entry: Any) -> Any:
        reserved = super().reserve(entry)
        if reserved.name in self._upkeep:
            self._upkeep[reserved.name] = self.schedule[reserved.name] = reserved
        return reserved


def _stored(fields: dict[str, Any]) -> dict[str, Any]:
    """The same for a row, which calls the seconds after which a message expires by another name."""
    options = dict(fields.get("options", {}))
    if "expires" in options:
        options["expire_seconds"] = int(options.pop("expires"))
    return {**fields, "options": options}

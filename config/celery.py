"""The Celery application: queues by kind of work, hints only, results of maintenance tasks only."""

import os

from celery import Celery
from celery.schedules import crontab
from kombu import Queue

from config import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

STEP_QUEUES = ("interactive", "standard", "batch")
POOLS = ("enterprise",)
MAINTENANCE_QUEUES = ("maintenance", "dead_letter")

broker.install()
app = Celery("agentplatform")
app.config_from_object("django.conf:settings", namespace="CELERY")


def _queues() -> list[Queue]:
    # Messages go through the anonymous exchange, by queue name alone: there is no binding for FLUSHALL to lose.
    names = [
        *STEP_QUEUES,
        *(f"{queue}.{pool}" for queue in STEP_QUEUES for pool in POOLS),
        *MAINTENANCE_QUEUES,
    ]
    return [Queue(name) for name in names]


app.conf.update(
    broker_url=os.environ.get("BROKER_URL") or "redis://127.0.0.1:6379/0",
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        # No list of unacknowledged messages in the broker: a hint that is lost with its worker is hinted again from
        # its row, and keeping that list is most of what it costs to receive one.
        "ack_emulation": False,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "socket_connect_timeout": 3,
        "socket_timeout": 30,
        "retry_on_timeout": True,
    },
    task_queues=_queues(),
    task_default_queue="maintenance",
    task_create_missing_queues=False,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=False,  # a hint is acknowledged on receipt: the row in Postgres is the outbox
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_serializer="json",
    accept_content=["json"],
    enable_utc=True,
    beat_schedule={
        "purge-expired-records": {
            "task": "maintenance.purge_expired_records",
            "schedule": crontab(minute="17"),
        },
        "advance-batches": {
            "task": "maintenance.advance_batches",
            "schedule": 1.0,
            "options": {"expires": 1.0},
        },
        "check-cached-answers": {
            "task": "maintenance.check_cached_answers",
            "schedule": 10.0,
            "options": {"expires": 10.0},
        },
        "watch-budgets": {
            "task": "maintenance.watch_budgets",
            "schedule": 1.0,
            "options": {"expires": 1.0},
        },
        "give-back-slices": {
            "task": "maintenance.give_back_slices",
            "schedule": 20.0,
            "options": {"expires": 20.0},
        },
        # For webhooks of workflows that have ended, retries, and hints that were lost.
        "sweep-deliveries": {
            "task": "maintenance.sweep_deliveries",
            "schedule": 1.0,
            "options": {"expires": 1.0},
        },
        "roll-up-spend": {
            "task": "maintenance.roll_up_spend",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        "watch-spend": {
            "task": "maintenance.watch_spend",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        "renew-profiles": {
            "task": "maintenance.renew_profiles",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        # For plans whose hint was lost, or whose worker was.
        "make-capacity-plans": {
            "task": "maintenance.make_capacity_plans",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        # Each hour, so that a day is told of also when nothing ran in its own; nobody is told twice.
        "send-cost-digests": {
            "task": "maintenance.send_cost_digests",
            "schedule": crontab(minute="0"),
            "options": {"expires": 3600.0},
        },
        "reconcile": {
            "task": "maintenance.reconcile",
            "schedule": crontab(hour="3", minute="40"),
        },
        # For hints of dead letters that were lost.
        "sweep-dead-letters": {
            "task": "workflows.sweep_dead_letters",
            "schedule": 30.0,
            "options": {"queue": "dead_letter", "expires": 30.0},
        },
        # For hints that were lost, and for an embedder that was away.
        "embed-pending-turns": {
            "task": "knowledge.embed_pending_turns",
            "schedule": 5.0,
            "options": {"expires": 5.0, "ignore_result": True},
        },
        "forget-sessions": {
            "task": "maintenance.forget_sessions",
            "schedule": 300.0,
            "options": {"expires": 300.0},
        },
        # For hints that were lost.
        "summarise-sessions": {
            "task": "maintenance.summarise_sessions",
            "schedule": 10.0,
            "options": {"expires": 10.0},
        },
        "embed-pending-passages": {
            "task": "knowledge.embed_pending",
            "schedule": 10.0,
            "options": {"expires": 10.0, "ignore_result": True},
        },
    },
)
app.autodiscover_tasks()

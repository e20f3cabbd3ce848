"""Queues, for operators and for what scales their workers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.permissions import HasOperatorScope
from apps.workflows.models import QueueConfig
from apps.workflows.selectors import QueueSignal, queue_signals


class PoolSignalSerializer(serializers.Serializer):
    """How a queue stands for one pool of workers."""

    pool = serializers.CharField(help_text="Which workers: `shared`, or those kept for tiers of their own.")
    slots = serializers.IntegerField(help_text="Slots of live workers that serve it, lent ones included.")
    free_slots = serializers.SerializerMethodField()
    ready = serializers.IntegerField(help_text="Steps that wait for admission, up to 10,000 for each tenant.")
    active = serializers.IntegerField(help_text="Steps that are dispatched or running.")
    oldest_wait_seconds = serializers.FloatField(help_text="How long the step has waited that waits longest.")
    slot_wait_seconds = serializers.FloatField(
        help_text="The same without waits for limits of the tenant's own, which more workers would not end."
    )
    mean_step_seconds = serializers.FloatField(
        allow_null=True, help_text="How long steps of the queue took lately; null where none has ended."
    )
    backlog_seconds = serializers.FloatField(
        source="backlog.work_seconds", help_text="The work that waits, in seconds of one slot."
    )
    drain_seconds = serializers.FloatField(
        source="backlog.drain_seconds",
        allow_null=True,
        help_text="How long its slots take for that; null without any.",
    )

    def get_free_slots(self, signal: QueueSignal) -> int:
        return max(0, signal.free)


class QueueSerializer(serializers.ModelSerializer):
    """A queue's settings, and how it stands."""

    pools = serializers.SerializerMethodField()

    class Meta:
        model = QueueConfig
        fields = (
            "name",
            "priority",
            "max_concurrent",
            "dedicated_slots",
            "lendable_slots",
            "borrowable_slots",
            "pools",
        )

    @property
    def signals(self) -> list[QueueSignal]:
        return list(self.context["signals"])

    def get_pools(self, queue: QueueConfig) -> Any:
        """One for each pool of workers."""
        return PoolSignalSerializer(
            [signal for signal in self.signals if signal.queue == queue.pk], many=True
        ).data


class QueuesView(APIView):
    """How the queues stand: the signal to scale workers by."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="queues_list",
        responses=inline_serializer("Queues", {"results": QueueSerializer(many=True)}),
    )
    def get(self, request: Request) -> Response:
        queues = QueueConfig.objects.all()
        return Response(
            {"results": QueueSerializer(queues, many=True, context={"signals": queue_signals()}).data}
        )

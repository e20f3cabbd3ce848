"""URLs of version 1."""

from django.urls import path

from apps.api.v1.budgets import BudgetView
from apps.api.v1.cache import CachePurgeView, CacheView
from apps.api.v1.capacity import CapacityPlansView, CapacityPlanView
from apps.api.v1.circuits import CircuitOpenView, CircuitResetView, CircuitsView, ToolCircuitResetView
from apps.api.v1.control import WorkflowCancelView, WorkflowPauseView, WorkflowResumeView
from apps.api.v1.dead_letters import (
    DeadLetterDiscardView,
    DeadLetterGroupsView,
    DeadLetterRequeueView,
    DeadLettersView,
    DeadLetterView,
)
from apps.api.v1.definitions import DefinitionsView, DefinitionView
from apps.api.v1.documents import DocumentsView, DocumentView
from apps.api.v1.drift import DriftView
from apps.api.v1.events import workflow_events
from apps.api.v1.feedback import WorkflowFeedbackView
from apps.api.v1.graphs import WorkflowGraphView
from apps.api.v1.knowledge import KnowledgeSearchView, KnowledgeView
from apps.api.v1.operations import WorkflowOperationView
from apps.api.v1.profiles import ProfilesView
from apps.api.v1.queues import QueuesView
from apps.api.v1.replays import WorkflowForkView, WorkflowReplayView
from apps.api.v1.routing import RoutingView
from apps.api.v1.schedules import ScheduleRunView, SchedulesView, ScheduleView
from apps.api.v1.session_export import SessionExportView
from apps.api.v1.sessions import SessionsView, SessionTurnsView, SessionView
from apps.api.v1.signals import StepApproveView, StepRejectView, WorkflowSignalView
from apps.api.v1.tools import (
    McpServersView,
    McpServerView,
    ToolsView,
    WebhookToolSecretView,
    WebhookToolsView,
    WebhookToolView,
)
from apps.api.v1.usage import ProjectionsView, TaskCostsView, UsageView
from apps.api.v1.webhooks import (
    NoticesView,
    WebhookDeliveriesView,
    WebhookRedeliverView,
    WebhookSecretView,
    WebhooksView,
    WebhookTestView,
    WebhookView,
)
from apps.api.v1.workflows import WorkflowsView, WorkflowView

urlpatterns = [
    path("workflows/", WorkflowsView.as_view(), name="workflows"),
    path("workflows/<uuid:workflow_id>/", WorkflowView.as_view(), name="workflow"),
    path("workflows/<uuid:workflow_id>/events/", workflow_events, name="workflow-events"),
    path("workflows/<uuid:workflow_id>/cancel/", WorkflowCancelView.as_view(), name="workflow-cancel"),
    path("workflows/<uuid:workflow_id>/pause/", WorkflowPauseView.as_view(), name="workflow-pause"),
    path("workflows/<uuid:workflow_id>/resume/", WorkflowResumeView.as_view(), name="workflow-resume"),
    path("workflows/<uuid:workflow_id>/replay/", WorkflowReplayView.as_view(), name="workflow-replay"),
    path("workflows/<uuid:workflow_id>/fork/", WorkflowForkView.as_view(), name="workflow-fork"),
    path("workflows/<uuid:workflow_id>/graph/", WorkflowGraphView.as_view(), name="workflow-graph"),
    path(
        "workflows/<uuid:workflow_id>/signals/<str:name>/",
        WorkflowSignalView.as_view(),
        name="workflow-signal",
    ),
    path(
        "workflows/<uuid:workflow_id>/steps/<str:key>/approve/",
        StepApproveView.as_view(),
        name="workflow-step-approve",
    ),
    path(
        "workflows/<uuid:workflow_id>/steps/<str:key>/reject/",
        StepRejectView.as_view(),
        name="workflow-step-reject",
    ),
    path("workflows/<uuid:workflow_id>/feedback/", WorkflowFeedbackView.as_view(), name="workflow-feedback"),
    path("definitions/", DefinitionsView.as_view(), name="definitions"),
    path("definitions/<slug:definition_type>/", DefinitionView.as_view(), name="definition"),
    path("documents/", DocumentsView.as_view(), name="documents"),
    path("documents/<uuid:document_id>/", DocumentView.as_view(), name="document"),
    path("sessions/", SessionsView.as_view(), name="sessions"),
    path("sessions/<str:session_id>/", SessionView.as_view(), name="session"),
    path("sessions/<str:session_id>/turns/", SessionTurnsView.as_view(), name="session-turns"),
    path("sessions/<str:session_id>/export/", SessionExportView.as_view(), name="session-export"),
    path("budget/", BudgetView.as_view(), name="budget"),
    path("usage/", UsageView.as_view(), name="usage"),
    path("usage/projection/", ProjectionsView.as_view(), name="usage-projection"),
    path("usage/tasks/", TaskCostsView.as_view(), name="usage-tasks"),
    path("cache/", CacheView.as_view(), name="cache"),
    path("cache/purge/", CachePurgeView.as_view(), name="cache-purge"),
    path("queues/", QueuesView.as_view(), name="queues"),
    path("routing/", RoutingView.as_view(), name="routing"),
    path("circuits/", CircuitsView.as_view(), name="circuits"),
    path("circuits/tools/reset/", ToolCircuitResetView.as_view(), name="circuit-reset-tool"),
    path("circuits/<slug:provider>/<str:model>/open/", CircuitOpenView.as_view(), name="circuit-open"),
    path("circuits/<slug:provider>/<str:model>/reset/", CircuitResetView.as_view(), name="circuit-reset"),
    path("knowledge/", KnowledgeView.as_view(), name="knowledge"),
    path("knowledge/search/", KnowledgeSearchView.as_view(), name="knowledge-search"),
    path("dead-letters/", DeadLettersView.as_view(), name="dead-letters"),
    path("dead-letters/groups/", DeadLetterGroupsView.as_view(), name="dead-letter-groups"),
    path("dead-letters/requeue/", DeadLetterRequeueView.as_view(), name="dead-letters-requeue"),
    path("dead-letters/discard/", DeadLetterDiscardView.as_view(), name="dead-letters-discard"),
    path("dead-letters/<uuid:letter_id>/", DeadLetterView.as_view(), name="dead-letter"),
    path("webhooks/", WebhooksView.as_view(), name="webhooks"),
    path("webhooks/<uuid:webhook_id>/", WebhookView.as_view(), name="webhook"),
    path("webhooks/<uuid:webhook_id>/rotate-secret/", WebhookSecretView.as_view(), name="webhook-secret"),
    path("webhooks/<uuid:webhook_id>/test/", WebhookTestView.as_view(), name="webhook-test"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/", WebhookDeliveriesView.as_view(), name="webhook-deliveries"
    ),
    path(
        "webhooks/deliveries/<uuid:delivery_id>/redeliver/",
        WebhookRedeliverView.as_view(),
        name="webhook-redeliver",
    ),
    path("tools/", ToolsView.as_view(), name="tools"),
    path("tools/webhooks/", WebhookToolsView.as_view(), name="webhook-tools"),
    path("tools/webhooks/<uuid:tool_id>/", WebhookToolView.as_view(), name="webhook-tool"),
    path(
        "tools/webhooks/<uuid:tool_id>/rotate-secret/",
        WebhookToolSecretView.as_view(),
        name="webhook-tool-secret",
    ),
    path("tools/mcp-servers/", McpServersView.as_view(), name="mcp-servers"),
    path("tools/mcp-servers/<uuid:server_id>/", McpServerView.as_view(), name="mcp-server"),
    path("notices/", NoticesView.as_view(), name="notices"),
    path("operations/capacity/", CapacityPlansView.as_view(), name="operations-capacity"),
    path("operations/capacity/<uuid:plan_id>/", CapacityPlanView.as_view(), name="operations-capacity-plan"),
    path("operations/drift/", DriftView.as_view(), name="operations-drift"),
    path("operations/profiles/", ProfilesView.as_view(), name="operations-profiles"),
    path("schedules/", SchedulesView.as_view(), name="schedules"),
    path("schedules/<uuid:schedule_id>/", ScheduleView.as_view(), name="schedule"),
    path("schedules/<uuid:schedule_id>/run/", ScheduleRunView.as_view(), name="schedule-run"),
    path("operations/workflows/<str:verb>/", WorkflowOperationView.as_view(), name="workflow-operation"),
]

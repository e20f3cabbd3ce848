"""What is set of tools, tenants' own tools, MCP servers, and the journal of calls."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from agentplatform.identifiers import uuid7
from apps.tenants.models import Tenant

MAX_TIMEOUT_SECONDS = 60.0
NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
"""Words of lower-case letters and digits, joined by single underscores."""
_NAME = RegexValidator(NAME_PATTERN, "Use lower-case letters and digits, joined by single underscores.")
_SECONDS = (MinValueValidator(0.1), MaxValueValidator(MAX_TIMEOUT_SECONDS))


class ToolSettings(models.Model):
    """What an operator sets of a tool that an installed app brings."""

    name = models.CharField(primary_key=True, max_length=64, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)
    timeout_seconds = models.FloatField(
        null=True,
        blank=True,
        validators=_SECONDS,
        help_text="For one call; empty for what the tool says itself.",
    )
    cost_usd_micros = models.PositiveBigIntegerField(
        default=0, help_text="The price of a call, in micro-dollars; 0 for a tool that costs nothing."
    )
    allowed_hosts = ArrayField(
        models.CharField(max_length=253),
        default=list,
        blank=True,
        help_text="Of tools that ask hosts: names, *.example.com for all below it, * for every public host. Empty: none.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "tool settings"
        ordering = ["name"]
        permissions = [("price_tool", "Can set the prices of tools")]

    def __str__(self) -> str:
        return self.name


class TenantTool(models.Model):
    """A webhook of a tenant that models may use as a tool. Its secret is stored encrypted and signs every call."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="tools", db_index=False)
    name = models.CharField(
        max_length=40, validators=[_NAME], help_text="What definitions and models call it."
    )
    description = models.CharField(max_length=1000, help_text="What it does, for the model.")
    input_schema = models.JSONField(help_text="JSON Schema of an object: what it is called with.")
    url = models.CharField("URL", max_length=2000)
    secret = models.TextField(editable=False)
    timeout_seconds = models.FloatField(default=10.0, validators=_SECONDS)
    is_idempotent = models.BooleanField(
        "idempotent",
        default=False,
        help_text="Doing it twice is as good as once: a call whose end is not known is made again.",
    )
    is_cacheable = models.BooleanField(
        "cacheable",
        default=False,
        help_text="Its results depend on its input alone, and serve again for an hour.",
    )
    cost_usd_micros = models.PositiveBigIntegerField(
        default=0, help_text="What the tenant is charged for a call, in micro-dollars."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "tenant's tool"
        ordering = ["-id"]
        permissions = [("operate_tenanttool", "Can rotate the secrets of tenants' tools")]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="tools_tenanttool_once")]

    def __str__(self) -> str:
        return self.name


class McpServer(models.Model):
    """A server of the Model Context Protocol whose tools models may use: a tenant's, or everybody's without a tenant.

    `token` is a tenant's, stored encrypted; `secret` says where an operator keeps one. Either is sent as a bearer token.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="mcp_servers", db_index=False
    )
    name = models.CharField(
        max_length=24, validators=[_NAME], help_text="What definitions call it: mcp:NAME."
    )
    url = models.CharField("URL", max_length=2000, help_text="Of its streamable HTTP transport.")
    token = models.TextField(blank=True, default="", editable=False)
    secret = models.CharField(
        max_length=200,
        blank=True,
        default="",
        validators=[
            RegexValidator(
                r"^(env:AGENTPLATFORM_TOOL_[A-Z0-9_]+|file:/.+)$",
                "Say where the token is, not the token itself: env:AGENTPLATFORM_TOOL_… or file:/path.",
            )
        ],
        help_text="Where its token is found, of a server for everybody: env:AGENTPLATFORM_TOOL_… or file:/path.",
    )
    allowed_tools = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        help_text="Those that are offered; empty: all.",
    )
    timeout_seconds = models.FloatField(default=15.0, validators=_SECONDS)
    cost_usd_micros = models.PositiveBigIntegerField(
        default=0, help_text="What a call of one of its tools is charged at, in micro-dollars."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "MCP server"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"], name="tools_mcpserver_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=True) | models.Q(secret=""),
                name="tools_mcpserver_tenants_have_no_secret",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ToolCall(models.Model):
    """One call of a tool. One that costs, or must not be made twice, is written before it is made.

    It is known by step, ordinal and the hash of tool and input; later attempts of its step are told its result.
    """

    class Status(models.TextChoices):
        STARTED = "started"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        UNKNOWN = "unknown"  # it may have been done, and nobody came back to tell

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    api_key_id = models.UUIDField(null=True)
    workflow_id = models.UUIDField()
    step_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    ordinal = models.PositiveIntegerField(help_text="The how-manieth tool call of its step this is, from 0.")
    task_type = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tool = models.CharField(max_length=64)
    input_hash = models.CharField(max_length=64)
    is_idempotent = models.BooleanField("idempotent")
    status = models.CharField(max_length=16, choices=Status.choices)
    code = models.CharField(max_length=64, default="", db_default="", help_text="Why it did not succeed.")
    result = models.JSONField(null=True)
    offered = ArrayField(
        models.CharField(max_length=64),
        null=True,
        help_text="The tools that its model had, on the first call.",
    )
    price_usd_micros = models.PositiveBigIntegerField(default=0, db_default=0)
    cost_usd_micros = models.PositiveBigIntegerField(default=0, db_default=0)
    seconds = models.FloatField(default=0.0, db_default=0.0)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["step_id", "ordinal", "attempt"], name="tools_toolcall_once")
        ]
        indexes = [
            models.Index(fields=["workflow_id"], name="tools_toolcall_workflow"),
            models.Index(fields=["tool", "-id"], name="tools_toolcall_tool"),
            models.Index(
                fields=["started_at"], condition=models.Q(status="started"), name="tools_toolcall_in_flight"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} call {self.ordinal} of step {self.step_id}"

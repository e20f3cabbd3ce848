"""Sessions: what was said in a tenant's conversations, the summary of what is older, and the vectors of turns."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField

from agentplatform.embedding.vectors import DIMENSIONS
from agentplatform.identifiers import uuid7
from apps.tenants.models import Tenant

MAX_SESSION_ID_CHARACTERS = 128


class SessionQuerySet(models.QuerySet["Session"]):
    def of(self, tenant: Tenant) -> SessionQuerySet:
        """The sessions of this tenant that are not forgotten; nothing else may be shown to it."""
        return self.filter(tenant=tenant, forgotten_at=None)


class Session(models.Model):
    """A conversation of a tenant, under the tenant's own name for it.

    `summary` stands for the turns up to `summary_until`. One that is forgotten holds nothing any more; its row stays
    until its runs have ended and are emptied, too.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="sessions")
    external_id = models.CharField("session id", max_length=MAX_SESSION_ID_CHARACTERS)
    summary = models.TextField(default="", db_default="")
    summary_until = models.PositiveIntegerField(
        default=0, db_default=0, help_text="The ordinal of the last turn that the summary stands for."
    )
    last_ordinal = models.PositiveIntegerField(
        default=0, db_default=0, help_text="The last ordinal that was given: two for every submission."
    )
    summary_due_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was seen that its older turns should be summarised."
    )
    summary_due_tokens = models.PositiveIntegerField(
        null=True, editable=False, help_text="The room, in tokens, of the conversation that has outgrown it."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(db_default=Now(), editable=False)
    forgotten_at = models.DateTimeField(null=True, editable=False)

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("forget_session", "Can forget sessions"),
            ("read_session", "Can read what was said in sessions"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "external_id"],
                condition=models.Q(forgotten_at=None),
                name="knowledge_session_external_id",
            ),
        ]
        indexes = [
            models.Index(
                fields=["last_used_at"],
                condition=models.Q(forgotten_at=None),
                name="knowledge_session_last_used",
            ),
            models.Index(
                fields=["summary_due_at"],
                condition=models.Q(summary_due_at__isnull=False),
                name="knowledge_session_due",
            ),
            models.Index(
                fields=["forgotten_at"],
                condition=models.Q(forgotten_at__isnull=False),
                name="knowledge_session_forgotten",
            ),
        ]

    def __str__(self) -> str:
        return self.external_id


class Turn(models.Model):
    """What was said once. A submission takes two ordinals at once: its own, and the next for the answer to it.

    So the order is that of submissions, however long each of them takes. `tokens` is an estimate.
    """

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="turns", db_index=False)
    ordinal = models.PositiveIntegerField()
    role = models.CharField(max_length=16, choices=Role.choices)
    text = models.TextField()
    tokens = models.PositiveIntegerField()
    workflow_id = models.UUIDField(help_text="The run that it was said in.")
    embedding_model = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    """The model that `vector` is of; "" while it has none."""
    embedding_lease_until = models.DateTimeField(null=True, editable=False)
    vector = HalfVectorField(dimensions=DIMENSIONS, null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["session_id", "ordinal"]
        constraints = [
            models.UniqueConstraint(fields=["session", "ordinal"], name="knowledge_turn_ordinal"),
            models.UniqueConstraint(fields=["workflow_id", "role"], name="knowledge_turn_once"),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "id"],
                condition=models.Q(embedding_model=""),
                name="knowledge_turn_embedding",
            ),
            models.Index(fields=["created_at"], name="knowledge_turn_age"),
        ]

    def __str__(self) -> str:
        return f"{self.session_id}#{self.ordinal}"

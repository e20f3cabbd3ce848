"""Users, tenants, their tiers and their API keys."""

from __future__ import annotations

import hashlib
import uuid

from django.contrib.auth.models import AbstractUser, Group, Permission
from django.db import models
from django.db.models.functions import Now

from agentplatform.identifiers import uuid7
from agentplatform.llm.tiers import Tier


class User(AbstractUser):
    """A person who signs in to the admin; applications use API keys instead."""

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"


class DefaultPermission(models.Model):
    """A permission that a built-in group was given once; what is taken away by hand is not given again."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="+")
    permission = models.ForeignKey(Permission, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "permission"], name="tenants_default_permission_once"),
        ]


MODEL_TIERS = [(tier.value, tier.value.title()) for tier in Tier]

LIMITS = (
    "requests_per_minute",
    "steps_per_minute",
    "tokens_per_minute",
    "max_concurrent_steps",
    "weight",
    "session_retention_days",
)
"""What a tier grants each of its tenants, and what a tenant may have of its own."""


class TenantTier(models.Model):
    """What a class of tenants is entitled to, each tenant for itself. `weight` is its share of contended queues.

    A limit per minute refills evenly, and a whole minute's worth may be used at once.
    """

    name = models.SlugField(primary_key=True, max_length=32)
    pool = models.SlugField(max_length=32, default="shared", help_text="Which workers run its steps.")
    weight = models.PositiveIntegerField(
        default=1, help_text="Its share of a contended queue, relative to the other tiers."
    )
    max_concurrent_steps = models.PositiveIntegerField(
        default=5, help_text="How many steps of one tenant may run at once, over all queues."
    )
    requests_per_minute = models.PositiveIntegerField(
        default=60, db_default=60, help_text="How many requests of one tenant the API takes in a minute."
    )
    steps_per_minute = models.PositiveIntegerField(
        default=60, db_default=60, help_text="How many steps of one tenant may start in a minute."
    )
    tokens_per_minute = models.PositiveIntegerField(
        default=20_000,
        db_default=20_000,
        help_text="How many tokens the steps of one tenant may use in a minute: estimated at their start, "
        "corrected at their end.",
    )
    session_retention_days = models.PositiveIntegerField(
        default=30,
        db_default=30,
        help_text="For how many days what is said in a session of one tenant is kept.",
    )
    max_model_tier = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        choices=MODEL_TIERS,
        help_text="The highest tier of models that its tenants may use; empty: all.",
    )

    class Meta:
        verbose_name = "tier"
        ordering = ["weight"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="tenants_tier_weight_positive"),
            models.CheckConstraint(
                condition=models.Q(
                    requests_per_minute__gte=1, steps_per_minute__gte=1, tokens_per_minute__gte=1
                ),
                name="tenants_tier_rates_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(session_retention_days__gte=1), name="tenants_tier_retention_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Tenant(models.Model):
    """A company, or a part of one: the unit of isolation, of limits and of money."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    tier = models.ForeignKey(TenantTier, on_delete=models.PROTECT, related_name="tenants")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=500, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    steps_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    max_concurrent_steps = models.PositiveIntegerField(null=True, blank=True)
    weight = models.PositiveIntegerField(null=True, blank=True)
    session_retention_days = models.PositiveIntegerField(null=True, blank=True)
    max_model_tier = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        choices=MODEL_TIERS,
        help_text="The highest tier of models that it may use; empty: as its tier.",
    )
    throttle_percent = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="The share of its concurrency and rates that budgets leave it at the moment.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [("suspend_tenant", "Can suspend and reactivate tenants")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended"]), name="tenants_tenant_status_known"
            ),
            models.CheckConstraint(
                # A limit that is null is its tier's: a comparison with null refuses nothing.
                condition=models.Q(*((f"{name}__gte", 1) for name in LIMITS)),
                name="tenants_tenant_limits_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE

    def limit(self, name: str) -> int:
        """One of LIMITS as it holds for this tenant: its own, else its tier's."""
        own = getattr(self, name)
        return int(getattr(self.tier, name) if own is None else own)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> ApiKeyQuerySet:
        """Keys that are neither revoked nor past their expiry, by the database's clock."""
        return self.filter(revoked_at=None).filter(models.Q(expires_at=None) | models.Q(expires_at__gt=Now()))


class ApiKey(models.Model):
    """A bearer key. Only its SHA-256 is stored: a key of 256 random bits needs no slow hash."""

    class Scope(models.TextChoices):
        TENANT = "tenant"
        OPERATOR = "operator"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    scope = models.CharField(max_length=16, choices=Scope.choices)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16, help_text="The first characters of the key, to tell it by.")
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    rotated_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="successors", editable=False
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]
        permissions = [
            ("issue_apikey", "Can issue and rotate API keys"),
            ("revoke_apikey", "Can revoke API keys"),
        ]
        constraints = [
            models.CheckConstraint(
                name="tenants_apikey_scope_has_tenant",
                condition=models.Q(scope="tenant", tenant__isnull=False)
                | models.Q(scope="operator", tenant__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"

    @staticmethod
    def hash_of(plaintext: str) -> str:
        """The hash under which a key is stored: SHA-256, hexadecimal."""
        return hashlib.sha256(plaintext.encode()).hexdigest()

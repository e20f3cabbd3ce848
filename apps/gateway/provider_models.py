"""What an operator sets about models: tiers, providers, rates and prices; and what their circuits did."""

from __future__ import annotations

from datetime import date

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from agentplatform.llm.catalogue import ProviderKind
from agentplatform.llm.tiers import Tier

_SECRET = RegexValidator(
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$",
    "Say where the secret is, not the secret itself: env:NAME or file:/path.",
)


class Provider(models.Model):
    """Where models are called: a failure domain of its own. Its secret is never stored, only where it is found."""

    name = models.SlugField(primary_key=True, max_length=32)
    kind = models.CharField(
        max_length=16, choices=[(kind.value, kind.value.title()) for kind in ProviderKind]
    )
    base_url = models.URLField(
        blank=True, help_text="Where it is reached; empty for the usual address of its kind."
    )
    secret = models.CharField(
        max_length=200,
        blank=True,
        validators=[_SECRET],
        help_text="Where its key is found: env:NAME or file:/path. For Bedrock and Vertex empty means their own "
        "way of finding credentials.",
    )
    region = models.CharField(max_length=64, blank=True, help_text="Of Bedrock and Vertex.")
    project = models.CharField(max_length=128, blank=True, help_text="Of Vertex.")
    is_enabled = models.BooleanField(default=True)
    takes_batches = models.BooleanField(
        default=False, help_text="Whether calls that tolerate delay may go to its Message Batches."
    )

    class Meta:
        ordering = ["name"]
        permissions = [("check_provider", "Can ask a provider whether it answers")]

    def __str__(self) -> str:
        return self.name


class ModelTier(models.Model):
    """What stands for a class of work: which model, and up to which complexity."""

    tier = models.CharField(
        primary_key=True, max_length=16, choices=[(tier.value, tier.value.title()) for tier in Tier]
    )
    model = models.CharField(max_length=128, help_text="As its maker calls it, for example claude-haiku-5-5.")
    providers = models.ManyToManyField(Provider, through="TierProvider", related_name="tiers")
    max_complexity = models.FloatField(
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="The highest complexity, from 0 to 1, of requests that are sent to it.",
    )
    use_cases = models.JSONField(
        default=list,
        blank=True,
        help_text='Steps that are sent to it whatever their complexity, such as ["extract_data.extract"].',
    )
    context_window_tokens = models.PositiveIntegerField(default=200_000)
    max_output_tokens = models.PositiveIntegerField(default=64_000)
    min_cache_tokens = models.PositiveIntegerField(
        default=1_024, help_text="The shortest prefix that its model caches, in tokens."
    )

    class Meta:
        verbose_name = "model tier"
        ordering = ["max_complexity"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_complexity__gte=0, max_complexity__lte=1),
                name="gateway_tier_complexity_in_unit",
            ),
            models.CheckConstraint(
                condition=models.Q(max_output_tokens__gte=1)
                & models.Q(context_window_tokens__gt=models.F("max_output_tokens")),
                name="gateway_tier_window_holds_output",
            ),
        ]

    def __str__(self) -> str:
        return self.tier


class TierProvider(models.Model):
    """A provider of a tier, tried in the order of `position`."""

    tier = models.ForeignKey(ModelTier, on_delete=models.CASCADE, related_name="targets")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField(default=0, help_text="The lowest is tried first.")
    model_name = models.CharField(
        max_length=200,
        blank=True,
        help_text="What the provider calls the model, if not by the tier's name for it.",
    )

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["tier", "provider"], name="gateway_tier_provider_once")
        ]

    def __str__(self) -> str:
        return f"{self.tier_id} at {self.provider_id}"


class ProviderRate(models.Model):
    """What a provider takes of one family of models in a minute. Limits are also learned from its answers; the lower one holds."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="rates")
    family = models.CharField(
        max_length=64, help_text="The models' common beginning, for example claude-haiku."
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    input_tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    output_tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["provider_id", "family"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "family"], name="gateway_rate_once"),
            models.CheckConstraint(
                condition=models.Q(
                    *(
                        (f"{name}_per_minute__gte", 1)
                        for name in ("requests", "input_tokens", "output_tokens")
                    )
                ),
                name="gateway_rate_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.family} at {self.provider_id}"


class ModelPrice(models.Model):
    """A price of our own for a model, in dollars per million tokens, from a day on. Others come from genai-prices."""

    provider = models.ForeignKey(
        Provider,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Empty: at all of them.",
    )
    model = models.CharField(max_length=128)
    valid_from = models.DateField(default=date.today, help_text="The first day, in UTC.")
    input_usd = models.DecimalField(max_digits=12, decimal_places=6)
    output_usd = models.DecimalField(max_digits=12, decimal_places=6)
    cache_write_5m_usd = models.DecimalField(max_digits=12, decimal_places=6)
    cache_write_1h_usd = models.DecimalField(max_digits=12, decimal_places=6)
    cache_read_usd = models.DecimalField(max_digits=12, decimal_places=6)

    class Meta:
        verbose_name = "price"
        ordering = ["model", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "valid_from"], name="gateway_price_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=models.Q(
                    *(
                        (f"{name}_usd__gte", 0)
                        for name in ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
                    )
                ),
                name="gateway_price_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.valid_from}"


class CircuitTrip(models.Model):
    """A circuit opened, and when it closed again. `circuit` is provider/model."""

    circuit = models.CharField(max_length=200)
    reason = models.CharField(max_length=64, help_text="The code of the last failure, or who opened it.")
    opened_at = models.DateTimeField(db_default=Now())
    open_until = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "circuit trip"
        ordering = ["-opened_at"]
        permissions = [("operate_circuittrip", "Can open and reset circuits")]
        indexes = [models.Index(fields=["circuit", "-opened_at"], name="gateway_trip_circuit")]

    def __str__(self) -> str:
        return f"{self.circuit} at {self.opened_at}"

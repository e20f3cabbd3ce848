"""Signatures of webhooks, to Standard Webhooks."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from apps.notifications.models import Delivery, Endpoint
from apps.notifications.secrets import secret_decrypt


def webhook_body(delivery: Delivery) -> bytes:
    """What is sent: the same bytes for every attempt of a delivery."""
    document: dict[str, Any] = {
        "type": delivery.event_type,
        "timestamp": delivery.created_at,
        "data": delivery.data or {},
    }
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


def current_secrets(endpoint: Endpoint, now: datetime) -> list[str]:
    """The secrets that sign: the endpoint's, and the one before while both do. Raises SecretUnreadable."""
    stored = [endpoint.secret]
    expires_at = endpoint.previous_secret_expires_at
    if endpoint.previous_secret and expires_at is not None and expires_at > now:
        stored.append(endpoint.previous_secret)
    return [secret_decrypt(one) for one in stored]


def signed_headers(secrets: Sequence[str], event_id: uuid.UUID, body: bytes) -> dict[str, str]:
    """The three headers of a webhook that is sent now; one signature for each secret."""
    from standardwebhooks import Webhook

    message_id, now = f"msg_{event_id}", datetime.now(UTC)
    signatures = [Webhook(secret).sign(message_id, now, body.decode()) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }

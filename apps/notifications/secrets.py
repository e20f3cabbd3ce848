"""Secrets of endpoints: made, and kept encrypted under a key that is derived from Django's SECRET_KEY."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

SECRET_PREFIX = "whsec_"
_SECRET_BYTES = 32


class SecretUnreadable(Exception):
    """It was encrypted under a SECRET_KEY that is neither the present one nor among the fallbacks."""

    def __init__(self) -> None:
        super().__init__("The secret was encrypted under another SECRET_KEY; rotate it.")


def secret_make() -> str:
    """A new secret, as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def secret_encrypt(plaintext: str) -> str:
    """What is stored of a secret."""
    return _keys().encrypt(plaintext.encode()).decode()


def secret_decrypt(stored: str) -> str:
    """The secret again. Raises SecretUnreadable."""
    from cryptography.fernet import InvalidToken

    try:
        return _keys().decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


# Loaded by those alone that sign or make secrets: it would take a good part of a worker's start.
def _keys() -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def key(secret_key: str) -> Fernet:
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"agentplatform.notifications.secrets")
        return Fernet(base64.urlsafe_b64encode(kdf.derive(secret_key.encode())))

    return MultiFernet([key(one) for one in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])

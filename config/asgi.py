"""The ASGI application that uvicorn serves."""

import os
import warnings

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# WhiteNoise hands over small static files as synchronous iterators, which Django reads whole and warns about.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - settings are read once Django is set up

from apps.api.body_limit import BodyLimit  # noqa: E402
from apps.api.handler import Handler  # noqa: E402

application = BodyLimit(
    Handler(),
    max_bytes=settings.MAX_BODY_BYTES,
    by_prefix={"/api/v1/documents/": settings.MAX_DOCUMENT_BYTES},
)

"""Settings, all driven by the environment; every name is listed in docs/configuration.md."""

import os
import secrets
from pathlib import Path

import dj_database_url

from agentplatform.outbound.addresses import AddressRules
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus
from config.connections import AnsweringConnection

BASE_DIR = Path(__file__).resolve().parent.parent


def env(name: str, default: str = "") -> str:
    """The environment variable `name`; an empty one counts as absent."""
    return os.environ.get(name) or default


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env(name, default).split(",") if part.strip()]


HOME = Path(env("AGENTPLATFORM_HOME", str(BASE_DIR / ".agentplatform")))
DEBUG = env("DJANGO_DEBUG") == "1"
# Without one set, sessions end with the process that made them; the stack generates one and keeps it.
SECRET_KEY = env("DJANGO_SECRET_KEY") or secrets.token_urlsafe(48)
SECRET_KEY_FALLBACKS = env_list("DJANGO_SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env_list("DJANGO_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("DJANGO_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_results",
    "django_celery_beat",
    "apps.console",
    "apps.tenants",
    "apps.notifications",
    "apps.budgets",
    "apps.gateway",
    "apps.knowledge",
    "apps.tools",
    "apps.workflows",
    "apps.insights",
    "apps.api",
    *env_list("AGENTPLATFORM_EXTRA_APPS"),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "apps.api.middleware.StaticFilesMiddleware",
    "apps.api.middleware.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "apps.api.middleware.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Storage -----------------------------------------------------------------------------------------------
DATABASES = {
    "default": dj_database_url.parse(
        env("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/agentplatform")
    )
}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    # Connections are borrowed for a statement and returned before a model or tool is called.
    "pool": {
        "min_size": 1,
        "max_size": int(env("DATABASE_POOL_SIZE", "8")),
        "timeout": 5.0,
        "connection_class": AnsweringConnection,
    },
    "connect_timeout": 3,
}
AnsweringConnection.answer_seconds = float(env("DATABASE_ANSWER_SECONDS", "30"))
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Server-side cursors and session state do not survive PgBouncer in transaction mode.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
BROKER_URL = env("BROKER_URL", "redis://127.0.0.1:6379/0")
REDIS_URL = env("REDIS_URL", "redis://127.0.0.1:6380/0")

AUTH_USER_MODEL = "tenants.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env("DJANGO_SECURE_COOKIES") == "1"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "apps.console.formats"
STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

# --- Caches of answers and of what they are made from -----------------------------------------------------------
CACHE_LAYERS = frozenset(env_list("CACHE_LAYERS", "exact,semantic,context")) - {"none"}
if unknown := CACHE_LAYERS - {"exact", "semantic", "context"}:
    raise ValueError(
        f"CACHE_LAYERS names {', '.join(sorted(unknown))}; there are exact, semantic, context and none"
    )
# How many hits by meaning are answered live and compared, of each tenant an hour.
CACHE_CHECKS_AN_HOUR = int(env("CACHE_CHECKS_AN_HOUR", "60"))
# For how long an answer that has expired is still there for those who may buy none.
CACHE_STALE_SECONDS = float(env("CACHE_STALE_SECONDS", str(7 * 86_400)))

CACHE_PATIENCE_SECONDS = float(env("CACHE_PATIENCE_SECONDS", "0.05"))

# --- Sessions ----------------------------------------------------------------------------------------------
# Which part of the smallest context window that may serve it a conversation may take, and how many tokens of any.
SESSION_WINDOW_SHARE = float(env("SESSION_WINDOW_SHARE", "0.1"))
SESSION_CONTEXT_TOKENS = int(env("SESSION_CONTEXT_TOKENS", "50000"))
if not (0 < SESSION_WINDOW_SHARE <= 0.5 and SESSION_CONTEXT_TOKENS > 0):
    raise ValueError("SESSION_WINDOW_SHARE is above 0 and at most 0.5, SESSION_CONTEXT_TOKENS above 0")

# --- REST --------------------------------------------------------------------------------------------------
MAX_BODY_BYTES = int(env("MAX_BODY_BYTES", str(1024 * 1024)))
MAX_DOCUMENT_BYTES = int(env("MAX_DOCUMENT_BYTES", str(8 * 1024 * 1024)))
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # apps.api.body_limit refuses large bodies before they are read
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.api.permissions.HasTenantScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.api.errors.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "agentplatform",
    "DESCRIPTION": "Runs multi-tenant LLM-agent workflows durably, and keeps their money.",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.api.openapi.describe",
    ],
    "ENUM_NAME_OVERRIDES": {
        "WorkflowStatus": [status.value for status in WorkflowStatus],
        "StepStatus": [status.value for status in StepStatus],
        "UnfinishedStatus": [status.value for status in WorkflowStatus if not status.is_terminal],
        "DeadLetterStatus": ["open", "requeued", "discarded"],
        "ToolCallStatus": ["started", "succeeded", "failed", "unknown"],
        "DeliveryStatus": ["pending", "delivered", "failed", "skipped"],
    },
}

# --- Celery: results of maintenance tasks only, never of the hot path ----------------------------------------
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True

# --- Execution ---------------------------------------------------------------------------------------------
LEASE_SECONDS = float(env("LEASE_SECONDS", "15"))
LEASE_RENEWAL_SECONDS = float(env("LEASE_RENEWAL_SECONDS", "5"))
# Schedules: how often one may come at most, and how late its message may be taken.
SCHEDULE_MIN_SECONDS = int(env("SCHEDULE_MIN_SECONDS", "60"))
SCHEDULE_LATE_SECONDS = int(env("SCHEDULE_LATE_SECONDS", "3600"))
CONTINUATION_MAX_STEPS = int(env("CONTINUATION_MAX_STEPS", "50"))
CONTINUATION_MAX_SECONDS = float(env("CONTINUATION_MAX_SECONDS", "30"))
WORKER_MAX_STEPS = int(env("WORKER_MAX_STEPS", "100000"))
WORKER_MAX_RSS_MB = int(env("WORKER_MAX_RSS_MB", "1500"))

# --- Budgets -----------------------------------------------------------------------------------------------
# How old a reservation must be to count as left behind, once nobody runs the attempt that made it.
RESERVATION_GRACE_SECONDS = float(env("RESERVATION_GRACE_SECONDS", "60"))

# --- Projections and digests -------------------------------------------------------------------------------
# How old the projection of a window may be before it is made anew.
FORECAST_SECONDS = float(env("FORECAST_SECONDS", "600"))
# For how long profiles of tasks, and readings of drift, are kept.
PROFILE_RETENTION_DAYS = int(env("PROFILE_RETENTION_DAYS", "90"))
# What the database and the broker can do, for plans of capacity: transactions and messages a second.
CAPACITY_COMMITS_PER_SECOND = float(env("CAPACITY_COMMITS_PER_SECOND", "3000"))
CAPACITY_MESSAGES_PER_SECOND = float(env("CAPACITY_MESSAGES_PER_SECOND", "8000"))
# How long a window is that is looked at for drift, and how many days before it are its reference.
DRIFT_WINDOW_HOURS = int(env("DRIFT_WINDOW_HOURS", "1"))
DRIFT_REFERENCE_DAYS = int(env("DRIFT_REFERENCE_DAYS", "7"))
# How old the figures of the admin's front page may be.
DASHBOARD_SECONDS = float(env("DASHBOARD_SECONDS", "5"))
# From which hour of the day (UTC) on yesterday's costs are told.
COST_DIGEST_HOUR = int(env("COST_DIGEST_HOUR", "7"))

# --- Embedder: a process of the same machine ------------------------------------------------------------------
EMBEDDER_SOCKET = env("EMBEDDER_SOCKET", str(HOME / "embedder.sock"))

# --- Models ------------------------------------------------------------------------------------------------
# How old a process's copy of what operators set (queues, tiers, providers) may be.
CONFIG_SECONDS = float(env("CONFIG_SECONDS", "5"))
# For how long a provider that has failed again and again is left alone, then tried by one call.
CIRCUIT_OPEN_SECONDS = float(env("CIRCUIT_OPEN_SECONDS", "15"))
# A call is left to a batch only while its workflow has more time left than this.
BATCH_MIN_SECONDS = float(env("BATCH_MIN_SECONDS", "3600"))
# A batch is sent when it is so large, or when its first call has waited so long.
BATCH_MAX_REQUESTS = int(env("BATCH_MAX_REQUESTS", "10000"))
BATCH_MAX_BYTES = int(env("BATCH_MAX_BYTES", str(32 * 1024 * 1024)))
BATCH_WAIT_SECONDS = float(env("BATCH_WAIT_SECONDS", "60"))
# How often a young batch is asked after; and how long a process has a batch for itself.
BATCH_POLL_SECONDS = float(env("BATCH_POLL_SECONDS", "10"))
BATCH_LEASE_SECONDS = float(env("BATCH_LEASE_SECONDS", "90"))
ANTHROPIC_API_KEY = env("ANTHROPIC_API_KEY")
# For a provider's report of usage and cost; the simulator takes any key.
ANTHROPIC_ADMIN_KEY = env("ANTHROPIC_ADMIN_KEY") or (
    "simulator" if env("AGENTPLATFORM_SIMULATOR") == "1" else ""
)
ANTHROPIC_BASE_URL = env("ANTHROPIC_BASE_URL", "https://api.anthropic.com")
SIMULATOR = env("AGENTPLATFORM_SIMULATOR") == "1"

# --- Notices, e-mail and webhooks ----------------------------------------------------------------------------
# Without a host no mail is sent, and each delivery says so.
EMAIL_HOST = env("EMAIL_HOST")
EMAIL_PORT = int(env("EMAIL_PORT", "25"))
EMAIL_HOST_USER = env("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env("EMAIL_USE_TLS") == "1"
EMAIL_USE_SSL = env("EMAIL_USE_SSL") == "1"
EMAIL_TIMEOUT = float(env("EMAIL_TIMEOUT_SECONDS", "10"))
DEFAULT_FROM_EMAIL = env("EMAIL_FROM", "agentplatform@localhost")
OPERATOR_EMAILS = env_list("OPERATOR_EMAILS")
# Private addresses that webhooks may be sent to all the same, as CIDRs.
WEBHOOK_ALLOWED_NETWORKS = env_list("WEBHOOK_ALLOWED_NETWORKS")
AddressRules.allowing(WEBHOOK_ALLOWED_NETWORKS)  # what is no network stops the start
WEBHOOK_TIMEOUT_SECONDS = float(env("WEBHOOK_TIMEOUT_SECONDS", "10"))
# The ceiling of the first delay before a delivery is tried again; it doubles from attempt to attempt.
DELIVERY_RETRY_SECONDS = float(env("DELIVERY_RETRY_SECONDS", "5"))
# How many attempts one process makes at the same time.
DELIVERY_SLOTS = int(env("DELIVERY_SLOTS", "32"))
# An endpoint that has failed for so long is disabled.
WEBHOOK_DISABLE_AFTER_SECONDS = float(env("WEBHOOK_DISABLE_AFTER_SECONDS", str(5 * 24 * 3600)))
# For how long notices and ended deliveries are kept.
NOTIFICATION_RETENTION_DAYS = int(env("NOTIFICATION_RETENTION_DAYS", "30"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", "INFO")},
    "loggers": {
        # httpx logs every URL at INFO; one line a model call tells an operator nothing.
        "httpx2": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "psycopg.pool": {"level": "ERROR"},
    },
}

# --- Admin -------------------------------------------------------------------------------------------------
FLOWER_URL = env("FLOWER_URL") or (f"http://127.0.0.1:{env('FLOWER_PORT')}/" if env("FLOWER_PORT") else "")
UNFOLD = {
    "SITE_TITLE": "agentplatform",
    "SITE_HEADER": "agentplatform",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "apps.console.navigation.icon"}],
    "SITE_URL": "/api/docs/",
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "apps.console.navigation.environment",
    "DASHBOARD_CALLBACK": "apps.insights.dashboard.dashboard",
    "SIDEBAR": {"navigation": "apps.console.navigation.navigation"},
    "STYLES": ["apps.console.navigation.stylesheet"],
}

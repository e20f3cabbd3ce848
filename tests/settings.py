"""The product's settings, with the workloads as one more installed app."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.workload"]

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""Accounts are made for every test of the admin; a hash that is slow on purpose would take most of their time."""

DASHBOARD_SECONDS = 0.0
"""Figures of one test are nothing for the next."""

CACHE_PATIENCE_SECONDS = 2.0
"""Two cores are busy with tests; those of the patience itself have their own."""

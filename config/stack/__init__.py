"""Runs the whole product on one machine: embedded servers, the Procfile's processes, and their supervision.

Nothing in this package imports Django: it starts before Django is configured and runs ``manage.py`` as a process.
"""

"""The REST API: authentication, errors, and the views of each version."""

"""Notices to tenants and operators, and how they are delivered: in the admin, by e-mail, by signed webhooks."""

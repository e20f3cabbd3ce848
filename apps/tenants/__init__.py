"""Who may do what: users, tenants, tiers and API keys."""

"""The operators' pages: what the admin pages of all apps are made of. It has no models and knows no app."""

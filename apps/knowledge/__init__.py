"""The knowledge base of a tenant: documents, their chunks, and retrieval."""

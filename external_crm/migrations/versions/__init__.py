"""Alembic tree of the External CRM's own tables."""

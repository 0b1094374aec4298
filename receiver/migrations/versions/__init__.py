"""Alembic tree of the receiver's own tables."""

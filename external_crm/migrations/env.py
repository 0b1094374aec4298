"""Runs this tree's migrations; Alembic calls it."""

import external_crm.models  # noqa: F401 - fills Base.metadata
from external_crm.db import Base, run_migrations

run_migrations(Base.metadata)

"""Runs this tree's migrations; Alembic calls it."""

import receiver.models  # noqa: F401 - fills Base.metadata
from external_crm.db import run_migrations
from receiver.db import Base

run_migrations(Base.metadata)

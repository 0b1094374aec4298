"""Runs this tree's migrations on the connection that `Migrations.upgrade` hands over."""

from alembic import context

import receiver.models  # noqa: F401 - fills Base.metadata
from receiver.db import Base

connection = context.config.attributes["connection"]
tables = set(Base.metadata.tables)


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name in tables


context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=context.config.attributes["version_table"],
    include_name=_is_ours,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite can, once BEGIN is ours: a killed migration leaves nothing
)
with context.begin_transaction():
    context.run_migrations()

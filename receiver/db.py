"""The receiver's tables live in the External CRM's database, under a version table of their own."""

from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase

from external_crm.db import MIGRATIONS as EXTERNAL_CRM_MIGRATIONS
from external_crm.db import Migrations, NotMigrated


class Base(DeclarativeBase):
    """The receiver's own tables."""


MIGRATIONS = Migrations("receiver", "receiver_version")


def check_tables(engine: Engine) -> None:
    """Raise NotMigrated unless all tables are at the newest revision, or DatabaseUnusable."""
    try:
        EXTERNAL_CRM_MIGRATIONS.check(engine)
        MIGRATIONS.check(engine)
    except NotMigrated as error:
        raise NotMigrated(f"{error} Run `crm-receiver migrate`.") from None

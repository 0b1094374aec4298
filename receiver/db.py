"""The receiver's tables live in the External CRM's database, under a version table of their own."""

from sqlalchemy.orm import DeclarativeBase

from external_crm.db import Migrations


class Base(DeclarativeBase):
    """The receiver's own tables."""


MIGRATIONS = Migrations("receiver", "receiver_version")

"""Both Alembic trees: they make what the models say, side by side, and lose no row."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

import receiver.models
from external_crm import models
from external_crm.db import MIGRATIONS as EXTERNAL_CRM
from external_crm.db import Base as ExternalCrmBase
from external_crm.db import Migrations, NotMigrated, make_engine
from receiver.db import MIGRATIONS as RECEIVER
from receiver.db import Base as ReceiverBase

TREES = {"external_crm": (EXTERNAL_CRM, ExternalCrmBase), "receiver": (RECEIVER, ReceiverBase)}
assert models
assert receiver.models


@pytest.mark.parametrize("name", TREES)
def test_migrations_make_what_the_models_say(engine: Engine, name: str) -> None:
    _, base = TREES[name]
    ours = set(base.metadata.tables)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda n, kind, _p: kind != "table" or n in ours},
        )
        assert compare_metadata(context, base.metadata) == []


def test_each_package_keeps_its_own_version_table(engine: Engine) -> None:
    tables = set(inspect(engine).get_table_names())
    assert {"external_crm_version", "receiver_version"} <= tables


def test_a_tree_can_be_taken_down_without_the_other(engine: Engine) -> None:
    _downgrade(RECEIVER, engine)
    with pytest.raises(NotMigrated):
        RECEIVER.check(engine)
    EXTERNAL_CRM.check(engine)
    RECEIVER.upgrade(engine)
    RECEIVER.check(engine)


def test_rebuilding_a_parent_table_keeps_its_children(engine: Engine, tmp_path: Path) -> None:
    """A batch migration copies, drops and renames; with foreign keys on it empties children."""
    with engine.begin() as connection:
        parent = {c.name: "" for c in models.Customer.__table__.columns} | {"account_id": "A1"}
        child = {c.name: "" for c in models.Task.__table__.columns} | {"task_id": "T1"}
        child |= {"account_id": "A1", "customer_ref": "A1", "custom_fields": {}}
        child |= dict.fromkeys(("due_at", "created_date", "last_modified_date"))
        connection.execute(models.Customer.__table__.insert(), parent | {"custom_fields": {}})
        connection.execute(models.Task.__table__.insert(), child)
    tree = _tree_that_rebuilds_customers(tmp_path)
    tree.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT customer_ref FROM tasks")).all() == [("A1",)]
        assert connection.execute(text("SELECT count(*) FROM customers")).scalar_one() == 1


def test_a_migration_that_fails_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    tree = _tree_that_rebuilds_customers(tmp_path, then="raise RuntimeError('power cut')")
    with pytest.raises(RuntimeError):
        tree.upgrade(engine)
    columns = {column["name"] for column in inspect(engine).get_columns("customers")}
    assert "loyalty" not in columns


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("These are notes, not a database, and long enough to be looked at." * 20)
    engine = make_engine(f"sqlite:///{path}")
    with pytest.raises(Exception, match=r"cannot be used: file is not a database\. Check"):
        EXTERNAL_CRM.upgrade(engine)
    engine.dispose()


def test_writers_queue_up_instead_of_losing_updates(engine: Engine) -> None:
    """The default deferred BEGIN would let both read the same value."""
    path = engine.url.database
    assert path is not None
    with engine.begin() as first:
        first.execute(text("UPDATE fence_counter SET value = value + 1"))
        second = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            second.execute("BEGIN IMMEDIATE")
        second.close()


def _downgrade(tree: Migrations, engine: Engine) -> None:
    config = tree._config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")


def _tree_that_rebuilds_customers(folder: Path, then: str = "pass") -> Migrations:
    """A copy of the External CRM's tree with one more, rebuilding, revision."""

    class Extended(Migrations):
        def _config(self):  # type: ignore[no-untyped-def]
            config = super()._config()
            own = f"{config.get_main_option('script_location')}/versions"
            config.set_main_option("version_locations", f"{own}:{folder}")
            return config

    (folder / "0002_rebuild.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "revision, down_revision = '0002', '0001'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('customers', recreate='always') as batch:\n"
        "        batch.add_column(sa.Column('loyalty', sa.Text()))\n"
        f"    {then}\n"
    )
    return Extended("external_crm", "external_crm_version")

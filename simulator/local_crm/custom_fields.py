"""A tenant's own fields: define, change, remove, and read them (CRM > Fields).

In: a session and a definition. Out: rows of `custom_fields`, and `of_kind`, the fields that forms,
API and CSV obey. Each field has an index of its own, which SQLite keeps by whatever door a value
comes, so that records can be searched by it. Steps do not commit; killed before the commit nothing
happened.

    DefinitionRefused(part -> sentence)   the definition breaks a rule; nothing was written
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.orm import Session

from simulator.local_crm import fields, search
from simulator.local_crm.fields import CustomType, Definition, Field
from simulator.local_crm.models import MODELS, CustomField
from simulator.triggers.urls import Kind

# Made once: every call of the CRM API reads the fields, and making a statement takes longer than
# running it.
_TABLE = CustomField.__table__.c
_OF_KIND = (
    select(
        *(_TABLE.name, _TABLE.label, _TABLE.type, _TABLE.default),
        *(_TABLE.max_length, _TABLE.required, _TABLE.choices),
    )
    .where(_TABLE.kind == bindparam("kind"))
    .order_by(_TABLE.id)
)


class DefinitionRefused(Exception):
    """A definition that breaks a rule; `problems` has a sentence for each part of it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


def of_kind(session: Session | Connection, kind: Kind) -> tuple[Field, ...]:
    """The custom fields of a kind, in the order in which they were defined."""
    found = session.execute(_OF_KIND, {"kind": kind})
    return tuple(
        Definition(kind, name, label, type_, default, length, required, tuple(choices)).field
        for name, label, type_, default, length, required, choices in found
    )


def rows(session: Session, kind: Kind) -> list[CustomField]:
    """The definitions of a kind, in the order in which they were made."""
    found = select(CustomField).where(CustomField.kind == kind).order_by(CustomField.id)
    return list(session.scalars(found))


def with_wire_date(definition: Definition) -> Definition:
    """Dates are typed as MM/DD/YYYY and kept as the wire has them; a default that is no date is
    refused later.
    """
    if definition.type is not CustomType.DATE or not definition.default:
        return definition
    return replace(definition, default=fields.kept_date(definition.default))


def define(session: Session, definition: Definition) -> Field:
    """A new field. Records that are there have no value for it. Raises DefinitionRefused."""
    problems = fields.check_definition(definition)
    if "name" not in problems and _row(session, definition.kind, definition.name) is not None:
        problems["name"] = (
            f"Name: there is a custom field {definition.name} for a {definition.kind} already."
        )
    if problems:
        raise DefinitionRefused(problems)
    session.add(CustomField(kind=definition.kind, name=definition.name, **_columns(definition)))
    session.flush()
    table = MODELS[definition.kind].__tablename__
    name, key = _index_name(definition.kind, definition.name), search.custom_key(definition.field)
    session.connection().exec_driver_sql(f"CREATE INDEX {name} ON {table} ({key})")
    return definition.field


def redefine(session: Session, definition: Definition) -> Field:
    """The field of that name with all but its type changed; values that are there stay.

    Raises DefinitionRefused, for another type too.
    """
    row = _existing_row(session, definition.kind, definition.name)
    problems = fields.check_definition(definition)
    if definition.type is not row.type:
        problems["type"] = f"The type of {row.name} is {row.type}; it cannot be changed once saved."
    if problems:
        raise DefinitionRefused(problems)
    for name, value in _columns(definition).items():
        setattr(row, name, value)
    session.flush()
    return row.definition.field


def remove(session: Session, kind: Kind, name: str) -> None:
    """Remove a field and its values in all records; versions keep them. Raises DefinitionRefused:
    only custom fields can be removed.
    """
    row = _existing_row(session, kind, name)
    table = MODELS[kind].__table__
    values = table.c.custom_fields
    session.execute(
        update(MODELS[kind])
        .where(func.json_type(values, f'$."{row.name}"').is_not(None))
        .values(custom_fields=func.json_remove(values, f'$."{row.name}"'))
        .execution_options(synchronize_session=False)
    )
    session.expire_all()
    _drop_index(session, row)
    session.delete(row)
    session.flush()


def remove_all(session: Session) -> None:
    """Remove all definitions; records keep the values."""
    for row in session.scalars(select(CustomField)):
        _drop_index(session, row)
        session.delete(row)
    session.flush()


def _drop_index(session: Session, row: CustomField) -> None:
    session.connection().exec_driver_sql(f"DROP INDEX IF EXISTS {_index_name(row.kind, row.name)}")


def _index_name(kind: Kind, name: str) -> str:
    """Names of fields are letters, digits and underscores; the kind's table is in it."""
    return f"ix_custom_{MODELS[kind].__tablename__}_{name.lower()}"


def _columns(definition: Definition) -> dict[str, object]:
    return {
        "label": definition.label,
        "type": definition.type,
        "default": definition.default,
        "max_length": definition.max_length,
        "required": definition.required,
        "choices": list(definition.choices),
    }


def _row(session: Session, kind: Kind, name: str) -> CustomField | None:
    return session.scalar(
        select(CustomField).where(
            CustomField.kind == kind, func.lower(CustomField.name) == name.lower()
        )
    )


def _existing_row(session: Session, kind: Kind, name: str) -> CustomField:
    row = _row(session, kind, name)
    if row is None:
        raise DefinitionRefused({"name": f"There is no custom field {name} for a {kind}."})
    return row

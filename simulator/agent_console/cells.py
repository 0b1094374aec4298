"""How a value is shown: its text, and where its link leads.

In: a record and a field. Out: a Cell. Made here and not in a template, which would take most of
the time of a list of fifty records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup, escape

from simulator.agent_console.screens import LEADS_TO, Screen
from simulator.local_crm.fields import Field, FieldType
from simulator.local_crm.models import Record
from simulator.web import shown_instant


@dataclass(frozen=True)
class Cell:
    """One value on a page."""

    name: str  # of the field
    text: str  # empty: there is nothing to show
    address: str = ""  # of the record whose number it is
    style: str = "value"


@dataclass(frozen=True)
class Row:
    """One record in a list."""

    number: str
    address: str
    cells: tuple[Cell, ...]


def cell(record: Record, field: Field) -> Cell:
    """The value of a standard field."""
    name = field.name
    value = getattr(record, name)
    if isinstance(value, datetime):
        return Cell(name, shown_instant(value), style="instant")
    text = "" if value is None else str(value)
    leads_to = LEADS_TO.get(name)
    if leads_to and text:
        return Cell(name, text, f"{leads_to.address}/{text}")
    if field.type is FieldType.EMAIL:
        return Cell(name, escape(text).replace("@", Markup("@<wbr>")), style="value breaks")
    return Cell(name, text)


def rows(screen: Screen, records: Sequence[Record]) -> list[Row]:
    """Records as their list shows them."""
    fields = screen.list_fields
    return [
        Row(number, f"{screen.address}/{number}", tuple(cell(record, field) for field in fields))
        for record in records
        for number in [str(getattr(record, screen.number))]
    ]

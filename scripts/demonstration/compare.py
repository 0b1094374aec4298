"""Local CRM and External CRM side by side, record by record, field by field.

In: a connection to each database. Out: a Comparison: how many records are equal, different,
missing, extra and exempt, and the first differences as sentences. Reads only.

The field table below is the demo's own. It shares nothing with the receiver's mapping on purpose:
a mistake there must show here.

What must be outside is told by the simulator's outbox alone: every record that a trigger named,
as its own or as an ancestor, and that still lives. A record that no trigger ever named may be
outside or not, but if it is, it must be equal like any other.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FIRST_DIFFERENCES = 10


@dataclass(frozen=True)
class Form:
    """How values of both sides are brought into the form in which they must be equal."""

    local: Callable[[Any], Any]
    outside: Callable[[Any], Any]


def _as_is(value: Any) -> Any:
    return value


def _day(value: Any) -> Any:
    """The UTC day of an instant: all that MMDDYYYY lets through."""
    return None if value is None else _instant(value).date().isoformat()


def _minute(value: Any) -> Any:
    """An instant without its seconds: all that MMDDYYYYHHMM lets through."""
    return None if value is None else _instant(value).replace(second=0, microsecond=0)


def _exact_instant(value: Any) -> Any:
    return None if value is None else _instant(value)


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else {}


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    aware = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
    return aware.astimezone(UTC)


TEXT = Form(_as_is, _as_is)
DAY = Form(_day, _as_is)
MINUTE = Form(_minute, _exact_instant)
CUSTOM = Form(_json, _json)


@dataclass(frozen=True)
class KindTable:
    """One kind in both databases: (Local column, External column, form) for every field."""

    kind: str
    table: str  # the same name on both sides
    local_id: str
    outside_id: str
    fields: tuple[tuple[str, str, Form], ...]


def _texts(*pairs: str) -> tuple[tuple[str, str, Form], ...]:
    """Fields whose text is the same on both sides, each written `local=outside`."""
    return tuple((*pair.split("="), TEXT) for pair in pairs)  # type: ignore[misc]


TABLES = (
    KindTable(
        "customer",
        "customers",
        "accountnum",
        "account_id",
        (
            *_texts("firstname=first_name", "lastname=last_name", "company=company", "pbx=pbx"),
            *_texts("comments=comments", "customertype=customer_type", "email=email"),
            *_texts("voice=voice", "alternative=alternative", "fax=fax"),
            *_texts("addr1str1=address1_line1", "addr1str2=address1_line2"),
            *_texts("addr1city=address1_city", "addr1state=address1_state"),
            *_texts("addr1zip=address1_zip", "addr1country=address1_country"),
            *_texts("addr2str1=address2_line1", "addr2str2=address2_line2"),
            *_texts("addr2city=address2_city", "addr2state=address2_state"),
            *_texts("addr2zip=address2_zip", "addr2country=address2_country"),
            ("custom_fields", "custom_fields", CUSTOM),
        ),
    ),
    KindTable(
        "case",
        "cases",
        "casenum",
        "case_id",
        (
            # The parent's id stands twice: as it came, and as a reference to the parent's row.
            *_texts("accountnum=account_id", "accountnum=customer_ref"),
            *_texts("subject=subject", "description=description", "status=status"),
            *_texts("priority=priority", "severity=severity", "category=category"),
            *_texts("project=project", "visibility=visibility", "mediatype=media_type"),
            *_texts("assignedto=assigned_to", "createdby=created_by", "closedby=closed_by"),
            ("assigneddate", "assigned_date", DAY),
            ("createddate", "created_date", DAY),
            ("closeddate", "closed_date", DAY),
            ("lastactdate", "last_activity_date", DAY),
            ("custom_fields", "custom_fields", CUSTOM),
        ),
    ),
    KindTable(
        "followup",
        "followups",
        "followupnum",
        "followup_id",
        (
            *_texts("accountnum=account_id", "accountnum=customer_ref"),
            *_texts("casenum=case_id", "casenum=case_ref"),
            *_texts("subject=subject", "body=body", "direction=direction"),
            *_texts("mediatype=media_type", "visibility=visibility", "createdby=created_by"),
            ("createddate", "created_date", DAY),
            ("custom_fields", "custom_fields", CUSTOM),
        ),
    ),
    KindTable(
        "task",
        "tasks",
        "tasknum",
        "task_id",
        (
            *_texts("accountnum=account_id", "accountnum=customer_ref"),
            *_texts("subject=subject", "description=description", "task_status=status"),
            *_texts("assignedto=assigned_to", "call_type=call_type", "media_type=media_type"),
            *_texts("middleware_url=middleware_url", "phone=phone", "email=email"),
            ("duedate", "due_at", MINUTE),
            *_texts("createdby=created_by"),
            ("createddate", "created_date", DAY),
            ("lastmoddate", "last_modified_date", DAY),
            *_texts("transactionid=transaction_id", "parenttasknum=parent_task_id"),
            ("custom_fields", "custom_fields", CUSTOM),
        ),
    ),
)


@dataclass
class Counts:
    """What became of the records of one kind."""

    equal: int = 0
    different: int = 0
    missing: int = 0  # a trigger named it, it lives, and it is not outside
    extra: int = 0  # outside, but not in the Local CRM
    exempt: int = 0  # not outside, and no trigger ever named it

    @property
    def compared(self) -> int:
        """Records that stood side by side."""
        return self.equal + self.different

    @property
    def wrong(self) -> int:
        """Records that keep the databases from being equal."""
        return self.different + self.missing + self.extra


@dataclass
class Comparison:
    """Both databases, compared."""

    by_kind: dict[str, Counts] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)  # the first ones, as sentences

    @property
    def total(self) -> Counts:
        """All kinds together."""
        every = self.by_kind.values()
        return Counts(
            equal=sum(counts.equal for counts in every),
            different=sum(counts.different for counts in every),
            missing=sum(counts.missing for counts in every),
            extra=sum(counts.extra for counts in every),
            exempt=sum(counts.exempt for counts in every),
        )

    @property
    def equal(self) -> bool:
        """Whether the External CRM shows what it must, and nothing else."""
        return self.total.wrong == 0


def compare(local: sqlite3.Connection, outside: sqlite3.Connection) -> Comparison:
    """Compare all records of both databases. Raises sqlite3.Error if one is not such a database."""
    named = _named_by_triggers(local)
    comparison = Comparison()
    for table in TABLES:
        counts = comparison.by_kind[table.kind] = Counts()
        for sentence in _compare_kind(table, local, outside, named, counts):
            if len(comparison.differences) < FIRST_DIFFERENCES:
                comparison.differences.append(sentence)
    return comparison


def _named_by_triggers(local: sqlite3.Connection) -> set[tuple[str, str]]:
    """(kind, id) of all records in the outbox, whatever became of the delivery."""
    named: set[tuple[str, str]] = set()
    query = "SELECT lower(kind), record_id, account_id, case_id FROM deliveries"
    for kind, record_id, account_id, case_id in local.execute(query):
        named |= {(kind, record_id), ("customer", account_id)}
        if case_id:
            named.add(("case", case_id))
    return named


def _compare_kind(
    table: KindTable,
    local: sqlite3.Connection,
    outside: sqlite3.Connection,
    named: set[tuple[str, str]],
    counts: Counts,
) -> Iterator[str]:
    """Count what became of each record; a sentence for each thing that is wrong."""
    inside_rows = _rows(local, table.table, table.local_id)
    outside_rows = _rows(outside, table.table, table.outside_id)
    for record_id in sorted(inside_rows.keys() | outside_rows.keys()):
        name = f"{table.kind.capitalize()} {record_id}"
        if record_id not in inside_rows:
            counts.extra += 1
            yield f"{name} is in the External CRM, but not in the Local CRM."
        elif record_id in outside_rows:
            wrong = _different_fields(table, inside_rows[record_id], outside_rows[record_id])
            counts.different += bool(wrong)
            counts.equal += not wrong
            yield from (f"{name}: {sentence}" for sentence in wrong)
        elif (table.kind, record_id) in named:
            counts.missing += 1
            yield f"{name} was named by a trigger, but is not in the External CRM."
        else:
            counts.exempt += 1


def _different_fields(
    table: KindTable, inside: dict[str, Any], outside: dict[str, Any]
) -> list[str]:
    sentences = []
    for local_column, outside_column, form in table.fields:
        expected = form.local(inside[local_column])
        found = form.outside(outside[outside_column])
        if expected != found:
            sentences.append(
                f"{outside_column} is {found!r} in the External CRM; "
                f"by {local_column} of the Local CRM it must be {expected!r}."
            )
    return sentences


def _rows(connection: sqlite3.Connection, table: str, id_column: str) -> dict[str, dict[str, Any]]:
    """Every row of a table as a dict, by the text of its id."""
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    rows = (dict(zip(names, values, strict=True)) for values in cursor)
    return {str(row[id_column]): row for row in rows}

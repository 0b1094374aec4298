"""CSV import: a file's rows become records, silently (trigger.agent-only).

In: a file, the kind, which column goes into which field, now. Out: records, 100 of them a
transaction, and a Report that names every row that could not be loaded, with the reason.
Killed midway: the transactions that were committed stay.

    ImportRefused       the file or the mapping cannot be used: nothing was loaded; a sentence
      OtherEncoding     the file is not in the encoding that was named

The file is read twice: what is wrong with it as a whole is known before the first row is loaded.
"""

import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from sqlalchemy.orm import Session, sessionmaker

from simulator.local_crm import changes, custom_fields, fields, many
from simulator.local_crm.background import JobRefused
from simulator.local_crm.changes import Author
from simulator.local_crm.fields import Field, FieldClass, FieldType
from simulator.local_crm.models import Origin
from simulator.triggers.urls import Kind

MOST_RECORDS = 50_000  # a session
BATCH = 100  # loaded at a time, each batch in a transaction of its own
ENCODINGS = ("utf-8", "latin-1")
AUTHOR = Author(Origin.CSV, "csv import")

_CELL_LIMIT = 10_000_000  # characters; a longer cell is a quote that was never closed
_SHOWN_VALUE = 100
_ROWS_AT_A_TIME = 1_000
_UTF8_MARK = "\ufeff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT_BYTES = 1_000
_UTF8_MARK_AS_LATIN_1 = "ï»¿"


class ImportRefused(JobRefused):
    """The file or the mapping cannot be used; the message says what to mend."""


class OtherEncoding(ImportRefused):
    """The file is not in the encoding that was named; `fact` is the message without what to do."""

    def __init__(self, fact: str, advice: str) -> None:
        super().__init__(f"{fact} {advice}")
        self.fact = fact


@dataclass(frozen=True)
class Reject:
    """One thing that is wrong with one row; `line` is where the row begins, from 1."""

    line: int
    column: str  # empty where the row as a whole is wrong
    value: str  # the beginning of it
    reason: str


@dataclass
class Report:
    """What came of an import."""

    loaded: int = 0
    rejected: int = 0  # rows
    rejects: list[Reject] = field(default_factory=list)


class Survey(NamedTuple):
    """What a file has."""

    header: list[str]
    total: int  # records
    first: list[str]  # the cells of the first record


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


@dataclass(frozen=True)
class _Target:
    """One mapped column: where it stands in a row, and the field it goes into."""

    position: int
    column: str
    field: Field


def import_csv(
    sessions: sessionmaker[Session],
    path: Path,
    kind: Kind,
    mapping: Mapping[str, str],
    now: datetime,
    *,
    encoding: str = "utf-8",
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Load all rows that obey the rules. Raises ImportRefused.

    mapping: the file's column names to fields (tags, or names of custom fields, in any case).
    on_progress: called after each batch with the rows done and the rows there are.
    """
    report = Report()
    with sessions() as session:
        custom = custom_fields.of_kind(session, kind)
    with _open(path, encoding) as file:
        header, total, _ = _survey(file, path, encoding)
        targets = _targets(kind, header, mapping, custom)
        rows = _rows(file)
        next(rows)
        done = 0
        while batch := list(islice(rows, BATCH)):
            with sessions.begin() as session:
                _load(session, kind, batch, len(header), targets, now, report)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, total)
    return report


def survey(path: Path, encoding: str = "utf-8") -> Survey:
    """What a file has, read to its end. Raises ImportRefused."""
    with _open(path, encoding) as file:
        return _survey(file, path, encoding)


def check_mapping(
    session: Session, kind: Kind, header: Sequence[str], mapping: Mapping[str, str]
) -> None:
    """Raises ImportRefused for a mapping that `import_csv` would refuse."""
    _targets(kind, header, mapping, custom_fields.of_kind(session, kind))


def loadable(session: Session, kind: Kind) -> list[Field]:
    """The fields that a column can go into; those that a column must go into are required."""
    return list(_loadable(kind, custom_fields.of_kind(session, kind)).values())


def write_rejects(report: Report, file: TextIO) -> None:
    """The rejected rows as CSV: line, column, value, reason."""
    file.writelines(rejects_as_csv(report))


def rejects_as_csv(report: Report) -> Iterator[str]:
    """The same bit by bit: tens of thousands of rows take longer than a page may."""
    rows = [(r.line, r.column, r.value, r.reason) for r in report.rejects]
    for start in range(0, max(1, len(rows)), _ROWS_AT_A_TIME):
        part = io.StringIO()
        writer = csv.writer(part)
        if not start:
            writer.writerow(["line", "column", "value", "reason"])
        writer.writerows(rows[start : start + _ROWS_AT_A_TIME])
        yield part.getvalue()


def _open(path: Path, encoding: str) -> TextIO:
    try:
        file = path.open(encoding=encoding, newline="")
        if not file.seekable():
            file.close()
            raise ImportRefused(f"{path} cannot be read twice. Give a file, not a pipe.")
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error.strerror}.") from error
    return file


def _rows(file: TextIO) -> Iterator[_Row]:
    """All rows from the beginning, the header first; lines with nothing on them are none."""
    file.seek(0)
    if file.read(1) != _UTF8_MARK:
        file.seek(0)
    reader = csv.reader(file, strict=True)
    line = 1
    for cells in reader:
        if cells:
            yield _Row(line, cells)
        line = reader.line_num + 1


def _survey(file: TextIO, path: Path, encoding: str) -> Survey:
    # The limit is one for the whole process; its default would refuse the file for one long cell.
    csv.field_size_limit(max(csv.field_size_limit(), _CELL_LIMIT))
    rows = _rows(file)
    line, total = 0, 0
    first: list[str] = []
    try:
        header = next(rows, _Row(1, [])).cells
        line = 1
        for row in rows:
            line, total = row.line, total + 1
            first = first or row.cells
            if total > MOST_RECORDS:
                raise ImportRefused(
                    f"{path} has more than {MOST_RECORDS} records, the most that one import "
                    "takes. Split the file."
                )
    except UnicodeDecodeError as error:
        if _is_binary(path):  # another encoding would not help
            raise ImportRefused(
                f"{path} is no text, but something like a picture or a workbook. Save it as CSV."
            ) from None
        raise OtherEncoding(
            f"{path} is not UTF-8: line {_first_undecodable_line(path)} has the byte "
            f"0x{error.object[error.start]:02X}.",
            "Save it as UTF-8, or give --encoding latin-1.",
        ) from None
    except csv.Error as error:
        where = f"after line {line}" if line else "from its first line on"
        raise ImportRefused(f"{path} is not CSV {where}: {error}.") from None
    if not header:
        raise ImportRefused(f"{path} is empty. Its first line must name the columns.")
    if header[0].startswith(_UTF8_MARK_AS_LATIN_1):
        raise OtherEncoding(f"{path} begins with the mark of UTF-8.", "Leave out --encoding.")
    # In Latin-1 every file can be read, a picture too.
    if any(unicodedata.category(sign) == "Cc" for sign in "".join(header) if sign not in "\t\r\n"):
        raise ImportRefused(
            f"{path} is not CSV: its first line has a control character. Save it as text."
        )
    return Survey(header, total, first)


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(_LOOKED_AT_BYTES)
    return b"\0" in beginning and not beginning.startswith(_UTF16_MARKS)


def _first_undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _targets(
    kind: Kind, header: Sequence[str], mapping: Mapping[str, str], custom: Sequence[Field]
) -> list[_Target]:
    """The mapped columns. Raises ImportRefused with a sentence for all that is wrong."""
    loadable = _loadable(kind, custom)
    problems = [] if mapping else ["Map at least one column to a field."]
    targets: list[_Target] = []
    for column, tag in mapping.items():
        if header.count(column) != 1:
            often = "no column" if column not in header else "more than one column"
            problems.append(f"The file has {often} {column!r}; it has: {', '.join(header)}.")
        elif tag.upper() not in loadable:
            problems.append(
                f"A {kind} has no field {tag} to import; it has: {', '.join(loadable)}."
            )
        elif loadable[tag.upper()] in [target.field for target in targets]:
            problems.append(f"Two columns go into {tag}. Map one of them.")
        else:
            targets.append(_Target(header.index(column), column, loadable[tag.upper()]))
    if not problems:
        mapped = {target.field.name for target in targets}
        problems = [
            f"{f.label} is required: map a column to {f.tag}."
            for f in loadable.values()
            if f.required and not f.default and f.name not in mapped
        ]
    if problems:
        raise ImportRefused(" ".join(problems))
    return targets


def _loadable(kind: Kind, custom: Sequence[Field]) -> dict[str, Field]:
    """The fields that a column can go into, by tag in capitals; a parent's number is required."""
    parents = [
        replace(fields.BY_NAME[kind][column], required=True)
        for column in changes.parent_columns(kind)
    ]
    own = [f for f in fields.fields_of(kind, custom) if not f.system]
    password = [fields.PASSWORD] if kind is Kind.CUSTOMER else []
    return {f.tag.upper(): f for f in (*parents, *own, *password)}


def _load(
    session: Session,
    kind: Kind,
    rows: Sequence[_Row],
    width: int,
    targets: Sequence[_Target],
    now: datetime,
    report: Report,
) -> None:
    """Rows into records, or into the report."""
    rejects: dict[int, list[Reject]] = {}  # by line
    readable: list[tuple[_Row, dict[str, Any]]] = []
    for row in rows:
        if len(row.cells) != width:
            reason = f"The row has {len(row.cells)} cells; the first line has {width}."
            rejects[row.line] = [Reject(row.line, "", _shown(",".join(row.cells)), reason)]
            continue
        values, problems = _read_row(row, targets)
        if problems:
            rejects[row.line] = _rejects(row, targets, problems)
        else:
            readable.append((row, values))
    verdicts = many.create_batch(session, kind, [v for _, v in readable], AUTHOR, now)
    for (row, _), refused in zip(readable, verdicts, strict=True):
        if refused is not None:
            rejects[row.line] = _rejects(row, targets, refused.problems)
    report.loaded += len(rows) - len(rejects)
    report.rejected += len(rejects)
    for _, found in sorted(rejects.items()):
        report.rejects += found


def _rejects(row: _Row, targets: Sequence[_Target], problems: Mapping[str, str]) -> list[Reject]:
    by_name = {target.field.name: target for target in targets}
    return [
        Reject(
            row.line,
            by_name[name].column if name in by_name else "",
            _shown(row.cells[by_name[name].position]) if name in by_name else "",
            reason,
        )
        for name, reason in problems.items()
    ]


def _read_row(row: _Row, targets: Sequence[_Target]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values for `changes`, and sentences for cells that cannot be read; an empty cell is not
    given.
    """
    values: dict[str, Any] = {fields.CUSTOM: {}}
    problems: dict[str, str] = {}
    for target in targets:
        # Files carry line breaks as CR LF; a record keeps the line break alone.
        text = row.cells[target.position].replace("\r\n", "\n")
        if not text:
            continue
        name = target.field.name
        try:
            value = _read_cell(target.field, text)
        except ValueError:
            problems[name] = f"{target.field.label} must be a date like 12/31/2030 (MM/DD/YYYY)."
            continue
        if target.field is fields.PASSWORD:
            wrong = fields.check(fields.PASSWORD, text)  # checked as the vendor does, kept nowhere
            problems |= {name: wrong} if wrong else {}
        elif target.field.field_class is FieldClass.CUSTOM:
            values[fields.CUSTOM][name] = value
        else:
            values[name] = value
    return values, problems


def _read_cell(target: Field, text: str) -> str | datetime:
    """What a record keeps. Raises ValueError for a date that is none."""
    if target.type is FieldType.DATE:
        return fields.wire_date(fields.read_slashed_date(text))
    return fields.read_slashed_date(text) if target.type is FieldType.INSTANT else text


def _shown(value: str) -> str:
    return value if len(value) <= _SHOWN_VALUE else f"{value[:_SHOWN_VALUE]}..."

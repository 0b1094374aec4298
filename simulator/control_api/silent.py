"""The silent channels: CRM API, CSV import, bulk creation, auto-log, inbound email."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import Response
from pydantic import BaseModel, Field

from simulator.control_api.frame import Body, control, refusal, reply
from simulator.control_api.kinds import OfKind, OneRecord, Values, as_problem, read_values
from simulator.control_api.problems import ProblemFound
from simulator.db import read_connection
from simulator.local_crm import (
    api_access,
    auto_log,
    bulk_create,
    changes,
    csv_import,
    inbound_email,
)
from simulator.local_crm.auto_log import NobodyCalls
from simulator.local_crm.changes import Author, ChangeRefused
from simulator.local_crm.csv_import import ImportRefused
from simulator.local_crm.inbound_email import InboundEmail
from simulator.local_crm.models import NUMBER_COLUMN, Origin
from simulator.services import services
from simulator.triggers.urls import Kind

_GONE = refusal("There is no such record (any more).")
_NOBODY = refusal("There is no customer who could call.")


class RecordChanged(BaseModel):
    """A record that was changed silently."""

    kind: Kind
    record_id: str


class CsvToImport(BaseModel):
    """A CSV file and which column goes into which field."""

    kind: Kind
    content: str = Field(description="The file; its first line names the columns.")
    mapping: dict[str, str] = Field(
        description="Column of the file to field.", examples=[{"First name": "FIRSTNAME"}]
    )


class RowRejected(BaseModel):
    """One thing that is wrong with one row; `line` is where the row begins, from 1."""

    line: int
    column: str
    value: str
    reason: str


class CsvImported(BaseModel):
    """What came of an import."""

    loaded: int
    rejected: int
    rejects: list[RowRejected]


class BulkWish(Body):
    """Customers to create as Configuration Manager's bulk creation does."""

    customers: int = Field(10, ge=1, le=50_000)
    seed: int = 1


class Created(BaseModel):
    """How many customers were created."""

    customers: int


class Interactions(Body):
    """Interactions to log as tasks of customers that are there."""

    calls: int = Field(1, ge=1, le=10_000)
    seed: int = 1


class Logged(BaseModel):
    """The tasks that were logged, by number."""

    tasks: list[str]


class EmailReceived(BaseModel):
    """An email that a customer sent."""

    sender: str = Field(examples=["Ada Byron <ada@example.com>"])
    subject: str = Field("", description="May name a case: Re: noise [Case 10000052].")
    body: str = ""


class EmailFiled(BaseModel):
    """Where an email went: to a new case, or as a follow-up to one that was there."""

    account: str
    case: str
    followup: str | None
    new_customer: bool
    reopened: bool


@control.post("/api/<kind>", responses={"201": RecordChanged})
def api_adds(path: OfKind, body: Values) -> Response:
    """Add a record as a call of the CRM API does: silently."""
    kind = path.kind.kind
    values, author = read_values(kind, body.values), _used_identity()
    try:
        with services().sessions.begin() as session:
            record = changes.create(session, kind, values, author, services().clock.now())
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(RecordChanged(kind=kind, record_id=getattr(record, NUMBER_COLUMN[kind])), 201)


@control.patch("/api/<kind>/<record_id>", responses={"200": RecordChanged, "404": _GONE})
def api_modifies(path: OneRecord, body: Values) -> Response:
    """Modify a record as a call of the CRM API does: silently."""
    kind = path.kind.kind
    if kind is Kind.FOLLOWUP:
        raise ProblemFound(422, "The CRM API cannot modify a Followup (api.rights).", "kind")
    values, author = read_values(kind, body.values), _used_identity()
    try:
        with services().sessions.begin() as session:
            now = services().clock.now()
            changes.edit(session, kind, path.record_id, values, author, now)
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(RecordChanged(kind=kind, record_id=path.record_id))


@control.post("/silent/csv-import", responses={"200": CsvImported})
def import_csv(body: CsvToImport) -> Response:
    """Load a CSV file; rows that cannot be loaded are named, each with its reason."""
    with TemporaryDirectory(prefix="crm-simulator-import-") as folder:
        file = Path(folder) / "import.csv"
        file.write_text(body.content, encoding="utf-8", newline="")
        try:
            report = csv_import.import_csv(
                services().sessions, file, body.kind, body.mapping, services().clock.now()
            )
        except ImportRefused as refused:
            sentence = str(refused).replace(str(file), "The file")
            raise ProblemFound(422, f"{sentence} Nothing was loaded.", "content") from refused
    return reply(
        CsvImported(
            loaded=report.loaded,
            rejected=report.rejected,
            rejects=[RowRejected(**vars(reject)) for reject in report.rejects],
        )
    )


@control.post("/silent/bulk-create", responses={"200": Created})
def create_in_bulk(body: BulkWish) -> Response:
    """Create believable customers."""
    source = bulk_create.source(body.customers, body.seed, services().clock.now())
    created = 0
    while source.customers_left:
        with services().sessions.begin() as session:
            created += bulk_create.bulk_create(session, source)
    return reply(Created(customers=created))


@control.post("/silent/auto-log", responses={"200": Logged, "409": _NOBODY})
def log_interactions(body: Interactions) -> Response:
    """Log interactions as tasks."""
    rng = random.Random(body.seed)  # noqa: S311 data, no secret
    try:
        with services().sessions.begin() as session:
            tasks = auto_log.auto_log(session, body.calls, rng, services().clock.now())
    except NobodyCalls as error:
        raise ProblemFound(409, str(error)) from error
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(Logged(tasks=tasks))


@control.post("/silent/inbound-email", responses={"200": EmailFiled})
def receive_email(body: EmailReceived) -> Response:
    """File an email: a follow-up on the case that its subject names, or a new case."""
    email = InboundEmail(body.sender, body.subject, body.body)
    reopens = services().settings.email_reopens_closed_case
    try:
        with services().sessions.begin() as session:
            filed = inbound_email.receive(session, email, services().clock.now(), reopens=reopens)
    except ChangeRefused as refused:
        raise as_problem(refused) from refused
    return reply(EmailFiled(**vars(filed)))


def _used_identity() -> Author:
    with read_connection(services().engine) as reading:
        access = api_access.read(reading)
    return Author(Origin.API, access.used_identity if access else "")

"""The journal over the control API: CRM API requests and triggers sent, without secrets."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from simulator.control_api.frame import control, reply
from simulator.journal import ApiRequest, Entry, SentTrigger
from simulator.services import services
from simulator.triggers.urls import Kind


class JournalWanted(BaseModel):
    """Which entries to list; all filters given must fit."""

    door: Literal["crm_api", "trigger"] | None = Field(
        None, description="Requests to the CRM API, or triggers sent."
    )
    kind: Kind | None = Field(None, description="The kind of record it is about.")
    action: str | None = Field(None, description="Get, Add or Modify; Create, Edit or Delete.")
    record_id: str | None = Field(
        None, description="A trigger's record; of a request, a record in it or in its reply."
    )
    delivery_id: int | None = Field(None, ge=1, description="Triggers of one delivery.")
    after: int = Field(0, ge=0, description="Entries with a larger number only.")
    limit: int = Field(1000, ge=1, le=10_000, description="The latest of them, at most.")


class ApiRequestOut(BaseModel):
    """A request to the CRM API."""

    path: str
    tenant: str
    username: str
    object: str
    action: str
    tags: list[tuple[str, str]] = Field(description="Names and values; passwords are redacted.")
    http_status: int | None = Field(description="None until it is answered.")
    error_code: int | None
    error: str | None
    record_count: int = Field(description="Records in the reply.")
    records: list[str] = Field(description="Their numbers, the first 100.")
    fault: str | None = Field(description="The fault that hit the call.")


class SentTriggerOut(BaseModel):
    """One call of a trigger URL."""

    delivery_id: int
    trigger: str
    record_id: str
    method: str
    url: str = Field(description="Whatever may be secret in it is redacted.")
    status: int | None
    error: str | None
    reply_excerpt: str
    duration_ms: float | None


class EntryOut(BaseModel):
    """One entry: either a request or a trigger."""

    number: int
    at: datetime
    ended: bool = Field(description="Whether all is known that came of it.")
    crm_api: ApiRequestOut | None = None
    trigger: SentTriggerOut | None = None


class JournalOut(BaseModel):
    """Entries in the order in which they began."""

    entries: list[EntryOut]


@control.get("/journal", responses={"200": JournalOut})
def list_journal(query: JournalWanted) -> Response:
    """Every CRM API request and every trigger sent, the latest 10,000, the oldest first."""
    found = [entry for entry in services().journal.entries() if _fits(entry, query)]
    return reply(JournalOut(entries=[_out(entry) for entry in found[-query.limit :]]))


def _fits(entry: Entry, wanted: JournalWanted) -> bool:
    what = entry.what
    if isinstance(what, ApiRequest):
        door, kind, action = "crm_api", what.object, what.action
        about = {*what.records, *(text for tag, text in what.tags if tag.upper().endswith("NUM"))}
        delivery_id = None
    else:
        door, (kind, action) = "trigger", what.trigger.split(" ")
        about, delivery_id = {what.record_id}, what.delivery_id
    return (
        entry.number > wanted.after
        and wanted.door in (None, door)
        and (wanted.kind is None or wanted.kind.lower() == kind.lower())
        and (wanted.action is None or wanted.action.lower() == action.lower())
        and (wanted.record_id is None or wanted.record_id in about)
        and wanted.delivery_id in (None, delivery_id)
    )


def _out(entry: Entry) -> EntryOut:
    out = EntryOut(number=entry.number, at=entry.at, ended=entry.ended)
    match entry.what:
        case ApiRequest() as request:
            out.crm_api = ApiRequestOut(**asdict(request))
        case SentTrigger() as trigger:
            out.trigger = SentTriggerOut(**asdict(trigger))
    return out

"""What the simulator takes the 8x8 side to do, line by line, and how sure that is: pure data.

In: nothing. Out: ASSUMPTIONS, and `render_fidelity`, the text of FIDELITY.md beside this file.
Code names a line by its id (`trigger.retry-schedule`), so that a correction finds every place.
`python -m simulator.assumptions` prints the text of FIDELITY.md.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a line is known."""

    DOCUMENTED = "D"  # the vendor says so
    CLIENT = "C"  # seen in public client code that talks to the real service
    ASSUMED = "A"  # assumed by this project


@dataclass(frozen=True)
class Assumption:
    """One line about the 8x8 side.

    setting: the field of `simulator.settings.Settings` that changes it; place: the one file
    (under `simulator/`) to change where no setting does.
    """

    id: str  # area.kebab-case
    statement: str
    grade: Grade
    source: str
    setting: str | None = None
    place: str | None = None

    @property
    def area(self) -> str:
        """trigger, exchange, api or records."""
        return self.id.partition(".")[0]


AREAS = {
    "trigger": "CRM triggers",
    "exchange": "Data exchange",
    "api": "CRM API",
    "records": "Records",
}

_D, _C, _A = Grade.DOCUMENTED, Grade.CLIENT, Grade.ASSUMED
_PAGE = "8x8: Configure External CRM Triggers"
_EXCHANGE = "8x8: Overview of data exchange"
_DELETE = "8x8: Delete CRM data"
_EMAIL = "8x8: email interactions overview; CRM properties"
_TAB = "8x8: CRM API tab reference"
_IMPORT = "8x8: CRM import"
_DOCS = "vendor documentation"
_CLIENTS = "public client code"
_NONE = "nothing public"
_URLS, _OUTBOX, _SENDER = "triggers/urls.py", "triggers/outbox.py", "triggers/sender.py"
_CHANGES, _RECORD_FIELDS = "local_crm/changes.py", "local_crm/fields.py"
_PARSE, _FILTERS, _RENDER = "crm_api/parse.py", "crm_api/filters.py", "crm_api/render.py"
_ERRORS, _API = "crm_api/errors.py", "crm_api/routes.py"

ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        "trigger.boxes",
        "A trigger is a URL set for one object and one event in Configuration Manager, "
        "Integration > CRM Triggers; it is called if a URL has been specified.",
        _D,
        f"{_PAGE}; {_EXCHANGE}",
        place=_OUTBOX,
    ),
    Assumption(
        "trigger.eleven-events",
        "Customer, Case and Task have Create, Edit and Delete; Followup has Create and Delete.",
        _D,
        _PAGE,
        place=_CHANGES,
    ),
    Assumption(
        "trigger.followup-edit-box",
        "The tab shows twelve boxes, Followup Edit among them.",
        _D,
        _PAGE,
        place=_URLS,
    ),
    Assumption(
        "trigger.followup-edit-silent",
        "The Followup Edit box fires nothing: the event table knows no such event and the "
        "CRM API has no Modify right for follow-ups.",
        _A,
        _NONE,
        setting="followup_edit_trigger",
    ),
    Assumption(
        "trigger.query-string",
        "Appended to the URL, in this order and spelling: ?AccountID=aaa; "
        "?AccountID=aaa&CaseID=ccc; ?AccountID=aaa&CaseID=ccc&FollowupID=fff; "
        "?AccountID=aaa&TaskID=ttt.",
        _D,
        _PAGE,
        place=_URLS,
    ),
    Assumption(
        "trigger.task-id",
        "TaskID carries the task's number; the page calls it the case identifier, a slip.",
        _A,
        _PAGE,
        place=_URLS,
    ),
    Assumption(
        "trigger.existing-query",
        "A configured URL that already has a query is continued with &; values are "
        "percent-encoded.",
        _A,
        _NONE,
        place=_URLS,
    ),
    Assumption(
        "trigger.method",
        'The "HTTP method" is GET; POST sends the same query string with an empty body.',
        _A,
        _NONE,
        setting="trigger_method",
    ),
    Assumption(
        "trigger.https-required",
        "A secure https URL is required.",
        _D,
        _PAGE,
        place=_URLS,
    ),
    Assumption(
        "trigger.https-checked-in-form",
        "The form refuses any other URL and keeps what was saved.",
        _A,
        _NONE,
        place=_URLS,
    ),
    Assumption(
        "trigger.success-is-200",
        "The response code 200 is success; anything else starts a retry mechanism.",
        _D,
        _PAGE,
        place=_SENDER,
    ),
    Assumption(
        "trigger.failures",
        "Not 200 includes 201, 204, 3xx (redirects are not followed), 4xx, 5xx, a timeout, "
        "a refused or reset connection and a TLS failure.",
        _A,
        _NONE,
        place=_SENDER,
    ),
    Assumption(
        "trigger.retry-schedule",
        "At once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, each varied by 10 %, "
        "then exhausted.",
        _A,
        _NONE,
        setting="retry_schedule",
    ),
    Assumption(
        "trigger.timeout",
        "A trigger call has 15 s in all.",
        _A,
        _NONE,
        setting="trigger_timeout_s",
    ),
    Assumption(
        "trigger.may-repeat",
        "A trigger may be called more than once for one change.",
        _A,
        _NONE,
        place=_OUTBOX,
    ),
    Assumption(
        "trigger.agent-only",
        "Only actions that an agent takes in Agent Console fire. CRM API requests, bulk creation "
        "in Configuration Manager, CSV import and auto-log fire nothing.",
        _D,
        _PAGE,
        place=_CHANGES,
    ),
    Assumption(
        "trigger.email-silent",
        "Inbound email, which creates customers, cases and follow-ups, fires nothing.",
        _A,
        _EMAIL,
        place=_CHANGES,
    ),
    Assumption(
        "trigger.edit-without-change",
        "Save without a change is an edit and fires.",
        _A,
        _NONE,
        place=_CHANGES,
    ),
    Assumption(
        "trigger.event-not-sent",
        "The parameter names tell the kind; nothing but the URL tells the event.",
        _D,
        _PAGE,
        place=_URLS,
    ),
    Assumption(
        "trigger.bare",
        "A trigger has no signature, time, event id, order or batching.",
        _A,
        _NONE,
        place=_SENDER,
    ),
    Assumption(
        "trigger.delete-takes-children",
        "Deleting a customer removes its cases and follow-ups, deleting a case its follow-ups; "
        "nothing can be restored.",
        _D,
        _DELETE,
        place=_CHANGES,
    ),
    Assumption(
        "trigger.delete-cascade",
        "A customer's tasks go with it; only the object that the agent deleted fires.",
        _A,
        _NONE,
        place=_CHANGES,
    ),
    Assumption(
        "exchange.read-back",
        "After a trigger the external process reads the record through the CRM API and updates "
        "its own database.",
        _D,
        _EXCHANGE,
        place=_API,
    ),
    Assumption(
        "api.wapi-endpoint",
        "POST /WAPI/wapi.php, a form with one field xml_query holding "
        "<WAPI><TENANT/><USERNAME/><PASSWORD/><COMMAND OBJECT ACTION>...</COMMAND></WAPI>.",
        _C,
        _CLIENTS,
        place=_PARSE,
    ),
    Assumption(
        "api.raw-query",
        "The XML in xml_query comes percent-encoded or raw.",
        _C,
        _CLIENTS,
        place=_PARSE,
    ),
    Assumption(
        "api.raw-query-unharmed",
        "A raw xml_query is read as it was sent. The real service may do to its +, % and & what "
        "form decoding does; callers had better encode.",
        _A,
        _NONE,
        place=_PARSE,
    ),
    Assumption(
        "api.cc-endpoint",
        "POST /cc/v1/wapi, headers X-8x8-Tenant and x-api-key, the body is the bare COMMAND "
        "element.",
        _C,
        _CLIENTS,
        place=_PARSE,
    ),
    Assumption(
        "api.action-case",
        "ACTION is written GET, Get or get: case does not matter.",
        _C,
        _CLIENTS,
        place=_PARSE,
    ),
    Assumption(
        "api.object-case",
        "OBJECT and the tags inside COMMAND may be written in any case; Followup is an OBJECT.",
        _A,
        _NONE,
        place=_PARSE,
    ),
    Assumption(
        "api.reply",
        '<?xml version="1.0" encoding="ISO-8859-1"?>, root WAPI, REPLY with STATUS, ERROR_STR '
        "and ERROR_CODE, one ITEM a record, HTTP 200.",
        _C,
        _CLIENTS,
        place=_RENDER,
    ),
    Assumption(
        "api.nothing-found",
        'Nothing found is STATUS="0" without an ITEM.',
        _C,
        _CLIENTS,
        place=_RENDER,
    ),
    Assumption(
        "api.error-reply",
        'A failure is <REPLY STATUS="-1" ERROR_STR="The value test of the tag firstname is not '
        'valid." ERROR_CODE="5"/> with HTTP 200.',
        _C,
        _CLIENTS,
        place=_ERRORS,
    ),
    Assumption(
        "api.email-taken",
        "Adding a customer whose email exists gives the error code 81.",
        _C,
        _CLIENTS,
        place=_ERRORS,
    ),
    Assumption(
        "api.error-codes",
        "All other error codes and sentences.",
        _A,
        _NONE,
        place=_ERRORS,
    ),
    Assumption(
        "api.rights",
        "Add, Modify and Get are granted per kind of object; Followup has no Modify; the API "
        "cannot delete; rights do not come from the identity it acts as.",
        _D,
        _TAB,
        place=_API,
    ),
    Assumption(
        "api.tab",
        "The tab has Enable CRM API Access, CRM API username, Password, Retype Password, Used "
        "Identify and Access Rights; the username may not be an agent's.",
        _D,
        _TAB,
        place="config_manager/forms.py",
    ),
    Assumption(
        "api.tenant-and-key-in-tab",
        "Tenant and API key are set in the same tab.",
        _A,
        _NONE,
        place="config_manager/forms.py",
    ),
    Assumption(
        "api.body-limit",
        "A request body of more than 1 MB is refused by an error reply.",
        _A,
        _NONE,
        place=_PARSE,
    ),
    Assumption(
        "api.filters",
        "Customer: FIRSTNAME LASTNAME EMAIL VOICE COMPANY ACCOUNTNUM CUSTOMERTYPE; Case: CASENUM "
        "ACCOUNTNUM LASTNAME COMPANY STATUS PROJECT SUBJECT; Task: ASSIGNEDTO TASK_STATUS. "
        "All that are given must match, exactly; LASTNAME, COMPANY and SUBJECT of a case match "
        "in part. Custom fields by name.",
        _C,
        _CLIENTS,
        place=_FILTERS,
    ),
    Assumption(
        "api.more-filters",
        "Task: TASKNUM ACCOUNTNUM; Followup: FOLLOWUPNUM CASENUM ACCOUNTNUM.",
        _A,
        _NONE,
        place=_FILTERS,
    ),
    Assumption(
        "api.partial-match",
        "A partial match may be anywhere in the value, in any case.",
        _A,
        _NONE,
        place=_FILTERS,
    ),
    Assumption(
        "api.no-filter",
        "A GET without a filter is an error; an empty filter element counts as not given.",
        _A,
        _NONE,
        place=_FILTERS,
    ),
    Assumption(
        "api.unknown-filter",
        "A tag that is no filter of the object is an error, not ignored.",
        _A,
        _NONE,
        place=_FILTERS,
    ),
    Assumption(
        "api.characters",
        "Characters outside ISO-8859-1 in a reply are numeric character references.",
        _A,
        _NONE,
        place=_RENDER,
    ),
    Assumption(
        "records.customer-tags",
        "The tags of a customer ITEM and their order; customertype is in lower case.",
        _C,
        _CLIENTS,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.case-tags",
        "The tags of a case ITEM and their order.",
        _C,
        _CLIENTS,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.task-tags",
        "The tags of a task on Add, and TASKNUM in the reply.",
        _C,
        _CLIENTS,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.task-reply-tags",
        "A task ITEM repeats the tags of Add and has CREATEDBY CREATEDDATE LASTMODDATE "
        "TRANSACTIONID PARENTTASKNUM.",
        _A,
        _NONE,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.followup-tags",
        "ACCOUNTNUM CASENUM FOLLOWUPNUM SUBJECT BODY DIRECTION MEDIATYPE VISIBILITY CREATEDBY "
        "CREATEDDATE, then custom fields.",
        _A,
        _NONE,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.dates",
        "Dates on the wire are MMDDYYYY; a task's DUEDATE is MMDDYYYYHHMM when added.",
        _C,
        _CLIENTS,
        place=_RENDER,
    ),
    Assumption(
        "records.dates-in-utc",
        "Dates on the wire are in UTC; a task's DUEDATE is MMDDYYYYHHMM in replies too.",
        _A,
        _NONE,
        place=_RENDER,
    ),
    Assumption(
        "records.empty-element",
        "An empty value is an empty element.",
        _C,
        _CLIENTS,
        place=_RENDER,
    ),
    Assumption(
        "records.decimal-numbers",
        "ACCOUNTNUM and CASENUM are decimal numbers such as 10000000 and 10000052.",
        _C,
        _CLIENTS,
        place=_CHANGES,
    ),
    Assumption(
        "records.numbers-in-sequence",
        "Numbers are handed out in sequence, for each kind from 10000000 on.",
        _A,
        _NONE,
        place=_CHANGES,
    ),
    Assumption(
        "records.no-order",
        "No field of a record orders two versions of it.",
        _A,
        _NONE,
        place="local_crm/models.py",
    ),
    Assumption(
        "records.lengths",
        "First and Last Name 30, Company 50, Voice, Fax and Alternative 38, Comments 400, "
        "address line 50, city 50, state 40, zip 30, country 15 characters.",
        _D,
        _IMPORT,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.email-length",
        "An email has at most 254 characters, as on the newer agent page; the import page says 40.",
        _D,
        f"8x8: agent page; {_IMPORT}",
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.names-required",
        "First and last name are mandatory.",
        _D,
        _DOCS,
        place=_RECORD_FIELDS,
    ),
    Assumption(
        "records.email-unique",
        "Emails of customers are unique.",
        _D,
        _DOCS,
        place=_CHANGES,
    ),
    Assumption(
        "records.email-optional",
        "Several customers may have no email; upper and lower case do not make emails differ.",
        _A,
        _NONE,
        place=_CHANGES,
    ),
    Assumption(
        "records.parents",
        "A case belongs to a customer, a follow-up to a case, a task to a customer.",
        _D,
        _DOCS,
        place=_CHANGES,
    ),
    Assumption(
        "records.followup-leaves-case",
        "Creating a follow-up does not touch its case.",
        _A,
        _NONE,
        place=_CHANGES,
    ),
)

BY_ID: dict[str, Assumption] = {line.id: line for line in ASSUMPTIONS}

_INTRODUCTION = """# What is known, and what is assumed

Every line says what the simulator takes the 8x8 side to do, and how that is known:
**D** documented by the vendor, **C** seen in public client code that talks to the real service,
**A** assumed by this project. An assumption is a setting (a variable CRM_SIM_...) or stands in
one file under `simulator/`. Generated from `simulator/assumptions.py`; change it there.
"""


def render_fidelity() -> str:
    """The text of FIDELITY.md: one table for each area."""
    parts = [_INTRODUCTION]
    for area, title in AREAS.items():
        parts.append(
            f"\n## {title}\n\n| id | what | grade | source | where |\n|---|---|---|---|---|\n"
        )
        parts.extend(_table_row(line) for line in ASSUMPTIONS if line.area == area)
    return "".join(parts)


def _table_row(line: Assumption) -> str:
    statement = line.statement.replace("|", "\\|").replace("<", "&lt;")
    where = f"setting `{line.setting}`" if line.setting else f"`{line.place}`"
    return f"| `{line.id}` | {statement} | {line.grade.value} | {line.source} | {where} |\n"


if __name__ == "__main__":
    sys.stdout.write(render_fidelity())

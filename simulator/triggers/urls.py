"""Which URL a change calls: pure, from kind, event and ids to the final URL.

In: what the administrator typed into a box of Integration > CRM Triggers, and a record's ids.
Out: the URL that is called, or a sentence that says what is wrong with the box.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from simulator.objects import Event, Kind

__all__ = [
    "BOXES",
    "Event",  # the words of all parts, named here for those who deal with triggers
    "Kind",
    "RecordIds",
    "check_configured_url",
    "trigger_url",
]

# The tab shows twelve boxes; Followup Edit fires only under `followup_edit_trigger`
# (assumption trigger.followup-edit-silent).
BOXES: tuple[tuple[Kind, Event], ...] = tuple((kind, event) for kind in Kind for event in Event)


SHORTEST_SECRET = 16  # characters of a part of a URL's path
_IDS = {"AccountID", "CaseID", "FollowupID", "TaskID"}


@dataclass(frozen=True)
class RecordIds:
    """The ids that a trigger can carry; those that its kind does not carry are None."""

    account_id: str
    case_id: str | None = None
    followup_id: str | None = None
    task_id: str | None = None

    def parameters(self) -> list[tuple[str, str]]:
        """Names and values in the documented order and spelling (trigger.query-string)."""
        pairs = [
            ("AccountID", self.account_id),
            ("CaseID", self.case_id),
            ("FollowupID", self.followup_id),
            ("TaskID", self.task_id),
        ]
        return [(name, value) for name, value in pairs if value is not None]


def trigger_url(configured: str, ids: RecordIds, continuation: str = "&") -> str:
    """The configured URL with the ids appended; an existing query is continued with `&`, or with
    a second `?` as a sender does that only ever appends (trigger.existing-query).
    """
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in ids.parameters())
    base, _, _ = configured.partition("#")
    if "?" not in base:
        return f"{base}?{query}"
    if continuation == "&" and base.endswith(("?", "&")):
        return f"{base}{query}"
    return f"{base}{continuation}{query}"


def without_secrets(url: str, hidden: str) -> tuple[str, list[str]]:
    """A final URL as it may be shown, and what is hidden in it.

    All that an administrator typed into a box may be a secret. Hidden are user name and password,
    every value of the query but the ids, and each part of the path that is long enough to be one.
    """
    found: list[str] = []

    def hide(text: str) -> str:
        found.append(text)
        return hidden

    base, question, query = url.partition("?")
    scheme, slashes, rest = base.partition("://")
    server, *path = rest.split("/")
    user, at, host = server.rpartition("@")
    shown = [f"{hide(user)}@{host}" if at else host]
    shown += [hide(part) if len(part) >= SHORTEST_SECRET else part for part in path]
    parameters = []
    for parameter in query.split("&"):
        name, equals, value = parameter.partition("=")
        if not equals:
            parameters.append(hide(name) if name else "")
        else:
            parameters.append(f"{name}={value if name in _IDS or not value else hide(value)}")
    return scheme + slashes + "/".join(shown) + question + "&".join(parameters), found


def check_configured_url(text: str) -> str | None:
    """What is wrong with a URL typed into a box, as a sentence, or None; empty means no trigger."""
    if not text:
        return None
    if len(text) > 2000:
        return "The URL is longer than 2,000 characters. Shorten it."
    if any(c.isspace() or not c.isprintable() for c in text):
        return "The URL contains a space or a control character. Remove it or write it as %20."
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return "This is not a well-formed URL. Type one like https://crm.example.com/trigger."
    if not parts.scheme or (parts.scheme.lower() not in ("http", "https") and not parts.netloc):
        return "Type the whole URL, beginning with https://."
    if parts.scheme.lower() != "https":
        return "8x8 Contact Center requires a secure URL: it must begin with https://."
    if not parts.hostname:
        return "The URL names no server. Type one like https://crm.example.com/trigger."
    if not _is_server_name(parts.hostname) or parts.port == 0:
        return "No server can be called that. Type a URL like https://crm.example.com/trigger."
    return None


def _is_server_name(host: str) -> bool:
    """Whether the name can be looked up at all: no part of it is empty or too long."""
    try:
        return len(host.encode("idna")) <= 253
    except UnicodeError:
        return False

"""Settings of the simulator: read once from CRM_SIM_... variables, frozen, passed down.

Every field has a default that is good for a demo; command-line options override them.
"""

from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from simulator import failpoints

PREFIX = "CRM_SIM_"
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 named, not bound


class Settings(BaseSettings):
    """How the simulator runs. Each field is also a variable, e.g. `port` is CRM_SIM_PORT."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8801, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    data_dir: Path = Field(
        Path(".crm-simulator"), description="Folder for the database and the certificates."
    )
    database: Path | None = Field(
        None,
        description="SQLite file of the Local CRM; by default local_crm.db in the data folder.",
    )
    ephemeral: bool = Field(
        False,
        description="For a Local CRM that is thrown away: start and commit quickly, without "
        "durability on disk or slow hashes.",
    )
    tls: bool = Field(
        True, description="Serve https (with a certificate of its own) or plain http."
    )
    tls_cert: Path | None = Field(None, description="Certificate file (PEM) to serve instead.")
    tls_key: Path | None = Field(None, description="Key file (PEM) that belongs to tls_cert.")

    control_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="Token that callers of the control API send; demanded beyond loopback.",
    )

    tenant: str = Field("demo", description="Tenant name that CRM API callers give.")
    api_username: str = Field("crmapi", description="CRM API username, set up at first start.")
    api_password: SecretStr = Field(
        SecretStr("crmapi-demo"), description="CRM API password, set up at first start."
    )
    api_key: SecretStr = Field(
        SecretStr("demo-api-key"), description="Key for /cc/v1/wapi, set up at first start."
    )

    trigger_ca: Path | None = Field(
        None,
        description="CA file (PEM) that trigger URLs are checked against, beside the system's.",
    )
    trigger_method: str = Field(
        "GET", pattern="^(GET|POST)$", description="HTTP method of triggers (trigger.method)."
    )
    trigger_timeout_s: float = Field(
        15.0, gt=0, description="Total deadline of one trigger call (trigger.timeout)."
    )
    retry_schedule: str = Field(
        "standard",
        pattern="^(standard|quick)$",
        description="Named retry schedule: standard or quick (trigger.retry-schedule).",
    )
    retry_jitter: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share by which a retry delay may vary (trigger.retry-schedule).",
    )
    trigger_concurrency: int = Field(8, ge=1, le=64, description="Triggers sent at the same time.")
    followup_edit_trigger: bool = Field(
        False, description="Let Followup Edit fire its box (trigger.followup-edit-silent)."
    )
    email_max_length: int = Field(
        254,
        ge=6,
        le=254,
        description="Characters an email may have; the import page says 40 (records.email-length).",
    )
    custom_tag_suffix: str = Field(
        ".NAME",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="What follows the name in a case's custom tag (records.custom-tag).",
    )
    email_reopens_closed_case: bool = Field(
        True,
        description="Let an inbound email reopen the closed case it names (trigger.email-creates).",
    )
    trigger_query_continuation: Literal["&", "?"] = Field(
        "&",
        description="What follows a box's URL that already has a query (trigger.existing-query).",
    )
    trigger_success: Literal["200", "2xx"] = Field(
        "200", description="Which answers end the calls of a trigger (trigger.failures)."
    )
    email_fires: bool = Field(
        False, description="Let records made by inbound email fire triggers (trigger.email-silent)."
    )
    unchanged_edit_fires: bool = Field(
        True, description="Let Save without a change fire (trigger.edit-without-change)."
    )
    delete_cascade_fires: bool = Field(
        False, description="Let what goes with a deleted record fire too (trigger.delete-cascade)."
    )
    delete_selected_fires: bool = Field(
        True,
        description="Let each record of Delete Selected fire (trigger.delete-selected-fires).",
    )
    delete_all_fires: bool = Field(
        True, description="Let each record of Delete All fire (trigger.delete-all-fires)."
    )
    agent_password: SecretStr = Field(
        SecretStr("agent-demo"),
        min_length=1,
        description="Password of every agent; Delete All in Agent Console asks for it.",
    )
    first_number: int = Field(
        10_000_000,
        ge=1,
        le=10**15,
        description="The first number of each kind (records.numbers-in-sequence).",
    )

    api_raw_query: Literal["decoded", "as-sent"] = Field(
        "decoded",
        description="Whether a raw xml_query is form-decoded: & cuts it (api.raw-query-decoded).",
    )
    api_body_limit_bytes: int = Field(
        1_000_000, ge=1_000, le=10_000_000, description="Largest request body (api.body-limit)."
    )
    api_case_matters: bool = Field(
        False, description="Whether OBJECT and tags must be spelled exactly (api.object-case)."
    )
    api_reply_root: Literal["WAPI", "username"] = Field(
        "WAPI", description="The root of replies: WAPI or the upper-cased user name (api.root)."
    )
    api_characters: Literal["reference", "question-mark"] = Field(
        "reference", description="What a character beyond ISO-8859-1 becomes (api.characters)."
    )
    api_add_reply: Literal["number", "item"] = Field(
        "number", description="Whether Add answers with a bare number or an ITEM (api.add-reply)."
    )
    api_modify_reply: Literal["empty", "number"] = Field(
        "empty", description="What Modify answers with (api.modify-reply)."
    )
    api_get_without_filter: Literal["error", "all"] = Field(
        "error", description="What a GET without a filter gives (api.no-filter)."
    )
    api_unknown_tags: Literal["refuse", "ignore"] = Field(
        "refuse", description="What happens to tags that are not known (api.unknown-filter)."
    )
    api_more_filters: bool = Field(
        True, description="Whether filters nobody has shown are there (api.more-filters)."
    )
    api_partial_match: Literal["anywhere", "beginning"] = Field(
        "anywhere", description="Where a partial match may be (api.partial-match)."
    )
    api_time_zone: str = Field(
        "UTC", description="Time zone of dates on the wire (records.dates-in-utc)."
    )
    api_duedate_reply: Literal["minutes", "date"] = Field(
        "minutes", description="DUEDATE in replies: MMDDYYYYHHMM or MMDDYYYY (records.duedate)."
    )
    api_rate_limit_per_minute: int = Field(
        0, ge=0, description="Calls a minute before HTTP 429; 0 is no limit (api.rate-limit)."
    )
    api_row_cap: int = Field(
        0, ge=0, description="Most records in a reply; 0 is no limit (api.row-cap)."
    )
    chaos_seed: str | None = Field(
        None,
        min_length=1,
        description="Seed of every random choice; by default a new one for each start.",
    )
    freeze_at: AwareDatetime | None = Field(
        None,
        description="Instant at which the clock begins and stands still, e.g. 2026-03-02T09:00Z.",
    )
    lease_s: float = Field(
        60.0, gt=0, description="How long a claimed delivery belongs to its claimer."
    )
    tick_s: float = Field(
        0.25, gt=0, description="How often the dispatcher looks for due deliveries."
    )
    log_format: str = Field(
        "console", pattern="^(console|json)$", description="How log lines are written."
    )
    secret_key: SecretStr | None = Field(
        None, description="Key that signs forms; by default a random one for each start."
    )
    failpoint: str = Field(
        "",
        description="For crash tests: kill the process at T1-after, T2-before:3 (the third time).",
    )

    @field_validator("failpoint")
    @classmethod
    def _is_failpoint(cls, text: str) -> str:
        failpoints.parse(text)
        return text

    @field_validator("api_time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name}") from None
        return name

    @property
    def database_path(self) -> Path:
        """The SQLite file of the Local CRM."""
        return self.database or self.data_dir / "local_crm.db"

    def url_at(self, port: int) -> str:
        """Where to reach it on this machine, without a slash at the end. port: the one in use."""
        host = _ANY_ADDRESS.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{host}:{port}"

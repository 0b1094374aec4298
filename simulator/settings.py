"""Settings of the simulator: read once from CRM_SIM_... variables, frozen, passed down.

Every field has a default that is good for a demo; command-line options override them.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """How the simulator runs. Each field is also a variable, e.g. `port` is CRM_SIM_PORT."""

    model_config = SettingsConfigDict(env_prefix="CRM_SIM_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8801, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    data_dir: Path = Field(
        Path(".crm-simulator"), description="Folder for the database and the certificates."
    )
    database: Path | None = Field(
        None,
        description="SQLite file of the Local CRM; by default local_crm.db in the data folder.",
    )
    tls: bool = Field(
        True, description="Serve https (with a certificate of its own) or plain http."
    )
    tls_cert: Path | None = Field(None, description="Certificate file (PEM) to serve instead.")
    tls_key: Path | None = Field(None, description="Key file (PEM) that belongs to tls_cert.")

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
        254, ge=6, le=254, description="Characters an email may have; the import page says 40."
    )
    custom_tag_suffix: str = Field(
        ".NAME",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="What the tag of a case's custom field has after the field's name.",
    )
    email_reopens_closed_case: bool = Field(
        True, description="Let an inbound email reopen the closed case that its subject names."
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

    @property
    def database_path(self) -> Path:
        """The SQLite file of the Local CRM."""
        return self.database or self.data_dir / "local_crm.db"

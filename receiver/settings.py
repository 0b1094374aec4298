"""Settings of the receiver: read once from CRM_RECEIVER_... variables, frozen, passed down.

Misconfigured(sentence)    names the variable and what to set; the command exits with 2
"""

import re
import shlex
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from receiver import failpoints, tls_files

PREFIX = "CRM_RECEIVER_"


class Misconfigured(Exception):
    """A setting is missing or wrong; the message says which and what to set."""


class Settings(BaseSettings):
    """How the receiver runs. Each field is a variable, e.g. `secret` is CRM_RECEIVER_SECRET."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    database_url: str = Field(
        "sqlite:///external_crm.db",
        description="SQLAlchemy URL of the External CRM's database, which holds the inbox too.",
    )
    secret: SecretStr = Field(
        SecretStr(""), description="Secret in the path of the trigger URLs, 16 characters or more."
    )
    secret_old: SecretStr = Field(
        SecretStr(""), description="Former secret, let in as well while you change the URLs."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8802, ge=0, le=65535, description="Port to listen on.")
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM); none: plain http.")
    tls_key: Path | None = Field(None, description="Key (PEM) that belongs to the certificate.")
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of the proxies that speak https for the receiver, "
        "with commas between them; their X-Forwarded-For names the client in the log.",
    )
    crm_api_url: str = Field("", description="Base URL of the 8x8 CRM API, https://...")
    crm_api_ca: Path | None = Field(None, description="CA file (PEM); default: the usual ones.")
    crm_api_timeout_s: float = Field(15.0, gt=0, description="Total deadline of one API call.")
    crm_api_max_mb: int = Field(
        8, ge=1, description="Largest reply of the CRM API; each fetch thread may hold one."
    )
    tenant: str = Field("", description="Tenant name that the CRM API asks for.")
    username: str = Field("", description="CRM API username.")
    password: SecretStr = Field(SecretStr(""), description="CRM API password.")
    api_key: SecretStr = Field(
        SecretStr(""), description="API key; if set, it is used instead of user name and password."
    )
    refused_codes: frozenset[str] = Field(
        frozenset({"1001", "1002", "1003", "1004"}),
        description="ERROR_CODEs that mean refused credentials or rights, as a JSON list.",
    )
    schedule: Literal["standard", "quick"] = Field(
        "standard", description="Named waiting times: standard, or quick for demos."
    )
    fetch_threads: int = Field(8, ge=1, le=64, description="CRM API calls at the same time.")
    settle_after_s: float = Field(
        0.0,
        ge=0,
        description="Seconds after a trigger's arrival at which its record is read once more, and "
        "for which a record not found is doubted at least; set it longer than the CRM API can "
        "answer with old data. 0: no such read.",
    )
    circuit_after: int = Field(
        5,
        ge=1,
        description="CRM API calls for different records that fail in a row before the workers "
        "stop calling and only probe.",
    )
    api_calls_per_s: float = Field(
        0.0, ge=0, description="CRM API calls per second of all workers together. 0: no limit."
    )
    list_from: int = Field(
        3,
        ge=0,
        description="Records of one case or customer, claimed together, from which one list is "
        "asked for instead of each record. 0: never.",
    )
    tombstone_limit: int = Field(
        10,
        ge=0,
        description="Removals that no delete trigger explains, within tombstone_window_s, above "
        "which nothing more is removed until an operator allows it.",
    )
    tombstone_window_s: float = Field(
        300.0, gt=0, description="The span in which unexplained removals are counted."
    )
    batch_size: int = Field(100, ge=1, le=1000, description="Triggers claimed at once.")
    max_attempts: int = Field(8, ge=1, description="Failures of one record until it is dead.")
    json_lines: Path | None = Field(
        None,
        description="Folder for records as JSON lines, instead of the External CRM's tables: the "
        "example of another CRM.",
    )
    wsgi_front: bool = Field(
        True, description="Answer triggers in front of Flask: the same answers, quicker."
    )
    one_core: bool = Field(
        True,
        description="Keep the threads of each process on one core, which is much quicker: only one "
        "of them runs at a time. false: where other processes are bound to the same cores.",
    )
    web_processes: int = Field(
        1, ge=1, le=64, description="Web processes of `serve`; more than one on PostgreSQL only."
    )
    work_processes: int = Field(1, ge=1, le=64, description="Workers that `serve` runs.")
    web_threads: int = Field(
        64, ge=1, le=256, description="Requests that a web process answers at the same time."
    )
    web_connections: int = Field(
        10_000, ge=1, description="Connections that a web process keeps open; more have to wait."
    )
    alarm_url: SecretStr = Field(
        SecretStr(""), description="Webhook that alarms and all-clears are sent to, as JSON."
    )
    alarm_command: str = Field(
        "", description="Instead: a command that reads an alarm as one line of JSON. No shell."
    )
    alarm_dead_above: int = Field(
        0, ge=0, description="Number of dead triggers above which there is an alarm."
    )
    alarm_oldest_above_s: float = Field(
        900.0, gt=0, description="Seconds a trigger may wait before there is an alarm."
    )
    keep_done_days: int = Field(
        30, ge=0, description="Days that triggers which are done are kept. 0: for ever."
    )
    keep_dead_days: int = Field(
        90, ge=0, description="Days that dead and dropped triggers are kept. 0: for ever."
    )
    keep_rejects_days: int = Field(
        30, ge=0, description="Days that rejects are kept, of which 1,000 are. 0: for ever."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="How events are written: console or json."
    )
    failpoint: str = Field(
        "",
        description="For crash tests: kill the process at T4-before, T6-after:3 (the third time).",
    )

    @field_validator("failpoint")
    @classmethod
    def _is_failpoint(cls, text: str) -> str:
        failpoints.parse(text)
        return text

    @field_validator("host")
    @classmethod
    def _as_address(cls, text: str) -> str:
        return "127.0.0.1" if text == "localhost" else text

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret in use, then the old one if there is one."""
        both = (self.secret.get_secret_value(), self.secret_old.get_secret_value())
        return tuple(secret for secret in both if secret)

    @classmethod
    def load(cls) -> Self:
        """The settings of this environment. Raises Misconfigured."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else "A setting"
            raise Misconfigured(f"{name} is not usable: {first['msg']}.") from None
        except SettingsError:  # raised for what should be JSON; no other field is
            raise Misconfigured(
                f'{PREFIX}REFUSED_CODES is not usable: write a JSON list like ["1001", "1002"].'
            ) from None

    def check_web(self) -> None:
        """Raise Misconfigured unless everything that receiving needs is set."""
        secret = self.secret.get_secret_value()
        if not secret:
            raise Misconfigured(
                f"{PREFIX}SECRET is not set. It is the part of the trigger URLs that nobody can "
                'guess; make one with: python -c "import secrets; print(secrets.token_urlsafe(24))"'
            )
        for name, given in (("SECRET", secret), ("SECRET_OLD", self.secret_old.get_secret_value())):
            if given and not re.fullmatch(r"[A-Za-z0-9._-]{16,}", given):
                raise Misconfigured(
                    f"{PREFIX}{name} must have 16 or more characters: "
                    "letters, digits and - _ . only."
                )
        if secret == self.secret_old.get_secret_value():
            raise Misconfigured(
                f"{PREFIX}SECRET and {PREFIX}SECRET_OLD are the same: make a new {PREFIX}SECRET, "
                f"or leave {PREFIX}SECRET_OLD out."
            )
        if self.web_processes > 1 and self.database_url.startswith("sqlite"):
            raise Misconfigured(
                f"{PREFIX}WEB_PROCESSES is {self.web_processes}, but SQLite lets one process "
                f"write at a time: set it to 1, or {PREFIX}DATABASE_URL to PostgreSQL."
            )
        self._check_transport()

    def _check_transport(self) -> None:
        """TLS of our own, or a proxy's, or loopback: nowhere does the secret pass in clear."""
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "TLS_KEY" if self.tls_key is None else "TLS_CERT"
            raise Misconfigured(f"{PREFIX}{missing} is not set: certificate and key go together.")
        for name, path in (("TLS_CERT", self.tls_cert), ("TLS_KEY", self.tls_key)):
            _check_file(name, path)
        for proxy in self.trusted_proxies.split(",") if self.trusted_proxies else ():
            try:
                ip_network(proxy.strip())
            except ValueError:
                raise Misconfigured(
                    f"{PREFIX}TRUSTED_PROXIES must be addresses or networks with commas between "
                    f"them, like 127.0.0.1,10.0.0.0/8; {proxy.strip()!r} is none."
                ) from None
        if not _is_address(self.host):
            raise Misconfigured(
                f"{PREFIX}HOST is {self.host}, but must be an address of this machine: 127.0.0.1 "
                "behind a proxy, 0.0.0.0 or :: for all."
            )
        loopback = ip_address(self.host).is_loopback
        if self.tls_cert is None and not self.trusted_proxies and not loopback:
            raise Misconfigured(
                f"{PREFIX}HOST is {self.host}, where others could read the secret on its way: set "
                f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY, or {PREFIX}TRUSTED_PROXIES to the proxy "
                "that speaks https for the receiver."
            )

    def check_tls(self) -> None:
        """Raise Misconfigured unless 8x8 could connect with certificate and key, if any."""
        if self.tls_cert is None or self.tls_key is None:
            return
        problem = tls_files.problem(self.tls_cert, self.tls_key)
        if problem is not None:
            raise Misconfigured(f"{problem} Check {PREFIX}TLS_CERT and {PREFIX}TLS_KEY.")

    def check_work(self) -> None:
        """Raise Misconfigured unless everything that reading the CRM API needs is set."""
        if not is_url(self.crm_api_url, "https", "http"):
            raise Misconfigured(
                f"{PREFIX}CRM_API_URL is not set to a URL. It is the base URL of your 8x8 "
                "cluster, e.g. https://vcc-na8.8x8.com."
            )
        if not self.tenant:
            raise Misconfigured(f"{PREFIX}TENANT is not set: the CRM API asks for the tenant name.")
        with_password = self.username and self.password.get_secret_value()
        if not with_password and not self.api_key.get_secret_value():
            missing = "PASSWORD" if self.username else "USERNAME"
            raise Misconfigured(
                f"{PREFIX}{missing} is not set. Set user name and password as in Configuration "
                f"Manager, Integration > CRM API, or {PREFIX}API_KEY."
            )
        _check_file("CRM_API_CA", self.crm_api_ca)
        if self.crm_api_ca is not None and not tls_files.is_authority(self.crm_api_ca):
            raise Misconfigured(
                f"{PREFIX}CRM_API_CA {self.crm_api_ca} holds no certificate in PEM format."
            )
        self._check_alarm()
        if self.keep_done_days and self.settle_after_s >= self.keep_done_days * 86_400:
            raise Misconfigured(
                f"{PREFIX}SETTLE_AFTER_S reaches farther back than {PREFIX}KEEP_DONE_DAYS: a "
                "record is read again that long after its trigger, which must still be there."
            )

    def _check_alarm(self) -> None:
        """One place for alarms, and one that could be reached."""
        url = self.alarm_url.get_secret_value()
        if url and self.alarm_command:
            raise Misconfigured(
                f"{PREFIX}ALARM_URL and {PREFIX}ALARM_COMMAND are both set: choose one."
            )
        if url and not is_url(url, "https", "http"):
            raise Misconfigured(
                f"{PREFIX}ALARM_URL must begin with https:// or http:// and name a server."
            )
        if self.alarm_command:
            try:
                found = bool(shlex.split(self.alarm_command))
            except ValueError:
                found = False
            if not found:
                raise Misconfigured(
                    f"{PREFIX}ALARM_COMMAND is not a command: look at its quotation marks."
                )


def is_url(text: str, *schemes: str) -> bool:
    """Whether it has one of the schemes and names a server, with a port that can be one."""
    try:
        parts = urlsplit(text)
        well_formed = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and well_formed


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_file(name: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{PREFIX}{name} {path} cannot be read: {error.strerror}.") from None

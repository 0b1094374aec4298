"""Settings while the simulator runs, and what a client needs to be let in and trusted."""

from typing import Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.control_api.frame import control, refusal, reply
from simulator.control_api.problems import ProblemFound, answer_invalid
from simulator.db import read_connection
from simulator.local_crm import api_access
from simulator.local_crm.secrets import check_secret
from simulator.services import change_settings, services
from simulator.settings import Settings

# What is bound to the start: a port, a folder, threads, rows that the first start has written.
BOUND_TO_START = frozenset(
    {
        *("host", "port", "tls", "tls_cert", "tls_key", "control_token", "secret_key"),
        *("data_dir", "database", "ephemeral", "log_format"),
        *("tenant", "api_username", "api_password", "api_key"),
        *("trigger_ca", "trigger_concurrency", "tick_s"),
    }
)
_BOUND = refusal("The setting cannot change while the simulator runs.")
CHANGEABLE = frozenset(Settings.model_fields) - BOUND_TO_START


class SettingsOut(BaseModel):
    """All settings as they are now; secrets are not shown."""

    settings: dict[str, Any]
    changeable: list[str] = Field(description="Those that may change while the simulator runs.")


class SettingsChange(BaseModel):
    """Settings by name; the rest stays as it is."""

    model_config = ConfigDict(extra="allow")


class Credentials(BaseModel):
    """How to call the CRM API."""

    url: str = Field(description="The simulator's address; /WAPI/wapi.php and /cc/v1/wapi follow.")
    tenant: str
    username: str
    password: str | None = Field(
        description="None where it was changed in Configuration Manager: only its hash is kept."
    )
    api_key: str | None = Field(description="None where it was changed, as the password.")


class CertificateWish(BaseModel):
    """Whom the certificate is for."""

    names: list[str] = Field(
        ["127.0.0.1", "localhost", "::1"],
        min_length=1,
        max_length=50,
        description="Host names and addresses that the receiver is called by.",
    )


class CertificateOut(BaseModel):
    """A certificate that the simulator trusts when it calls a trigger's URL; all PEM."""

    certificate: str = Field(description="The certificate, its chain after it.")
    key: str
    ca: str = Field(description="What clients of the receiver, and of the simulator, must trust.")


@control.get("/settings", responses={"200": SettingsOut})
def show_settings() -> Response:
    """All settings, secrets left out."""
    return reply(_settings_out())


@control.patch("/settings", responses={"200": SettingsOut, "409": _BOUND})
def change(body: SettingsChange) -> Response:
    """Change settings while the simulator runs; until a reset, or its end."""
    wanted = body.model_extra or {}
    for name in wanted:
        if name not in Settings.model_fields:
            raise ProblemFound(422, f"There is no setting {name}. GET {request.path} lists.", name)
        if name in BOUND_TO_START:
            raise ProblemFound(
                409,
                f"{name} cannot change while the simulator runs: start it with "
                f"CRM_SIM_{name.upper()}.",
                name,
            )
    try:
        changed = Settings(**(services().settings.model_dump() | wanted))
    except ValidationError as error:
        return answer_invalid(error)
    change_settings(changed)
    return reply(_settings_out())


@control.get("/credentials", responses={"200": Credentials})
def show_credentials() -> Response:
    """How to call the CRM API, as the settings say it and as far as they still hold."""
    settings = services().settings
    with read_connection(services().engine) as reading:
        access = api_access.read(reading)
    assert access is not None  # noqa: S101 the first start has written it
    password, key = settings.api_password.get_secret_value(), settings.api_key.get_secret_value()
    return reply(
        Credentials(
            url=request.url_root.rstrip("/"),
            tenant=access.tenant,
            username=access.username,
            password=password if check_secret(access.password_hash, password) else None,
            api_key=key if check_secret(access.api_key_hash, key) else None,
        )
    )


@control.post("/certificates", responses={"200": CertificateOut})
def issue_certificate(body: CertificateWish) -> Response:
    """A certificate for a receiver, by the simulator's own authority. It is kept nowhere."""
    authority = services().authority
    try:
        issued = authority.issue(body.names)
    except (ValueError, UnicodeError) as error:
        raise ProblemFound(422, f"No certificate can be issued: {error}.", "names") from error
    return reply(
        CertificateOut(
            certificate=issued.certificate.decode(),
            key=issued.key.decode(),
            ca=authority.pem.decode(),
        )
    )


def _settings_out() -> SettingsOut:
    return SettingsOut(
        settings=services().settings.model_dump(mode="json"), changeable=sorted(CHANGEABLE)
    )

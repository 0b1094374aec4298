"""Settings of the External CRM: read once from EXTERNAL_CRM_... variables, frozen, passed down."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the External CRM's database is, and where its dashboard listens."""

    model_config = SettingsConfigDict(env_prefix="EXTERNAL_CRM_", frozen=True)

    database_url: str = Field(
        "sqlite:///external_crm.db",
        description="SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
    )
    host: str = Field("127.0.0.1", description="Address the dashboard listens on.")
    port: int = Field(8803, ge=0, le=65535, description="Port the dashboard listens on.")

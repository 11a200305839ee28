"""Where things are: one frozen Settings, read from PNEUMOSCOPE_* variables and .env by the jobs and the dashboard."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL


def _listed(given: object) -> object:
    """ "a, B" as {a, b}."""
    return frozenset(given.lower().replace(",", " ").split()) if isinstance(given, str) else given


Names = Annotated[frozenset[str], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    """Variables: PNEUMOSCOPE_ARTIFACTS, PNEUMOSCOPE_MODELS, DATABASE_URL or PNEUMOSCOPE_DATABASE_URL; for the served
    dashboard PNEUMOSCOPE_ALLOWED_HOSTS and PNEUMOSCOPE_ALLOWED_EMAILS, names with commas between them."""

    model_config = SettingsConfigDict(
        env_prefix="PNEUMOSCOPE_", env_file=".env", frozen=True, extra="ignore", env_ignore_empty=True
    )

    artifacts: Path = Field(Path("artifacts"), description="thumbnails, caches, checkpoints, indexes and exports")
    models: Path = Field(Path("models"), description="local model folder, looked in before any hub")
    database_url: str = Field(
        "",
        validation_alias=AliasChoices("database_url", "DATABASE_URL", "PNEUMOSCOPE_DATABASE_URL"),
        description="SQLAlchemy URL; empty means SQLite inside the artifact folder",
    )
    allowed_hosts: Names = Field(
        frozenset(), description="host names that the dashboard answers to, besides those of this machine"
    )
    allowed_emails: Names = Field(
        frozenset(), description="addresses or domains that may log in; empty means all whom the issuer lets in"
    )

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        file = URL.create("sqlite", database=str(self.artifacts.resolve() / "pneumoscope.db"))
        return self.database_url or file.render_as_string(hide_password=False)

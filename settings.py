"""Where things are: one frozen Settings, read from PNEUMOSCOPE_* variables and .env by the jobs and the dashboard."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL


class Settings(BaseSettings):
    """Variables: PNEUMOSCOPE_ARTIFACTS, PNEUMOSCOPE_MODELS, and DATABASE_URL or PNEUMOSCOPE_DATABASE_URL."""

    model_config = SettingsConfigDict(env_prefix="PNEUMOSCOPE_", env_file=".env", frozen=True, extra="ignore")

    artifacts: Path = Field(Path("artifacts"), description="thumbnails, caches, checkpoints, indexes and exports")
    models: Path = Field(Path("models"), description="local model folder, looked in before any hub")
    database_url: str = Field(
        "",
        validation_alias=AliasChoices("database_url", "DATABASE_URL", "PNEUMOSCOPE_DATABASE_URL"),
        description="SQLAlchemy URL; empty means SQLite inside the artifact folder",
    )

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        file = URL.create("sqlite", database=str(self.artifacts.resolve() / "pneumoscope.db"))
        return self.database_url or file.render_as_string(hide_password=False)

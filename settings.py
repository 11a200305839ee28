"""Where things are: one frozen Settings, which jobs and dashboard read from PNEUMOSCOPE_* variables and .env."""

import os
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL


def _split_names(value: object) -> object:
    """Turn "a, B" into {"a", "b"}."""
    return frozenset(value.lower().replace(",", " ").split()) if isinstance(value, str) else value


ENV_FILE = ".env"
"""In the current directory."""
KEYS = (("OPENAI_API_KEY",), ("HUGGINGFACE_TOKEN", "HF_TOKEN"))
"""Variables that are read where they are needed, so that no setting holds a secret; of a group, one is enough."""
Names = Annotated[frozenset[str], NoDecode, BeforeValidator(_split_names)]


class Settings(BaseSettings):
    """Variables: PNEUMOSCOPE_ARTIFACTS, PNEUMOSCOPE_MODELS, DATABASE_URL or PNEUMOSCOPE_DATABASE_URL; for the
    dashboard also PNEUMOSCOPE_ALLOWED_HOSTS and PNEUMOSCOPE_ALLOWED_EMAILS, both comma-separated."""

    model_config = SettingsConfigDict(
        env_prefix="PNEUMOSCOPE_", env_file=ENV_FILE, frozen=True, extra="ignore", env_ignore_empty=True
    )

    artifacts: Path = Field(Path("artifacts"), description="thumbnails, caches, checkpoints, indexes and exports")
    models: Path = Field(Path("models"), description="local model folder, searched before any hub")
    database_url: str = Field(
        "",
        validation_alias=AliasChoices("database_url", "DATABASE_URL", "PNEUMOSCOPE_DATABASE_URL"),
        description="SQLAlchemy URL; empty means SQLite inside the artifact folder",
    )
    allowed_hosts: Names = Field(
        frozenset(), description="host names that the dashboard answers to, in addition to this machine's"
    )
    allowed_emails: Names = Field(
        frozenset(),
        description="addresses or domains that may log in; empty allows everyone whom the issuer admits, "
        "but for addresses that it marks as unverified",
    )

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in use: `database_url`, or SQLite inside the artifact folder."""
        file = URL.create("sqlite", database=str(self.artifacts.resolve() / "pneumoscope.db"))
        return self.database_url or file.render_as_string(hide_password=False)


def load_settings(**given: Any) -> Settings:
    """The settings, with these instead of the environment's. KEYS that .env holds join the environment, unless that has
    one of the group."""
    held = dotenv_values(ENV_FILE)
    for group in KEYS:
        if not any(os.environ.get(name) for name in group):
            os.environ.update({name: value for name in group if (value := held.get(name))})
    return Settings(**given)

"""What `.env` in the current directory holds reaches the settings and whatever looks up keys and tokens."""

import os
from pathlib import Path

import pytest

import settings
from engine.pretrained import hub
from engine.reporting.generators import endpoint


def test_the_file_gives_folders_and_tokens_and_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PNEUMOSCOPE_ARTIFACTS", "OPENAI_API_KEY", *hub.TOKENS):
        monkeypatch.setenv(name, "")  # so that it is unset again at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", "the environment's")
    (tmp_path / ".env").write_text("PNEUMOSCOPE_ARTIFACTS=results\nOPENAI_API_KEY=of-the-file\nHF_TOKEN=of-the-file\n")
    monkeypatch.chdir(tmp_path)
    assert settings.load_settings().artifacts == Path("results")
    assert (os.environ["OPENAI_API_KEY"], hub.token()) == ("of-the-file", "the environment's")
    assert settings.load_settings(artifacts=tmp_path).artifacts == tmp_path


@pytest.mark.parametrize(
    ("variable", "other"), [("PNEUMOSCOPE_DATABASE_URL", "DATABASE_URL"), ("HF_TOKEN", "HUGGINGFACE_TOKEN")]
)
def test_the_environment_comes_first_under_whichever_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, other: str
) -> None:
    for name in ("PNEUMOSCOPE_DATABASE_URL", "DATABASE_URL", *hub.TOKENS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, "sqlite:///environment.db")
    (tmp_path / ".env").write_text(f"{other}=sqlite:///file.db\n")
    monkeypatch.chdir(tmp_path)
    found = settings.load_settings()
    assert "sqlite:///environment.db" in (found.database_url, hub.token())
    assert "sqlite:///file.db" not in (found.database_url, hub.token())


def test_the_keys_are_those_that_are_looked_up() -> None:
    assert ((endpoint.KEY,), hub.TOKENS) == settings.KEYS

"""What `.env` in the current directory holds reaches the settings and whatever looks up keys and tokens."""

import os
from pathlib import Path

import pytest

import settings
from engine.pretrained import hub


def test_the_file_gives_folders_and_tokens_and_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PNEUMOSCOPE_ARTIFACTS", "OPENAI_API_KEY", *hub.TOKENS):
        monkeypatch.setenv(name, "")  # so that it is unset again at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", "the environment's")
    (tmp_path / ".env").write_text("PNEUMOSCOPE_ARTIFACTS=results\nOPENAI_API_KEY=of-the-file\nHF_TOKEN=of-the-file\n")
    monkeypatch.chdir(tmp_path)
    assert settings.load().artifacts == Path("results")
    assert (os.environ["OPENAI_API_KEY"], hub.token()) == ("of-the-file", "the environment's")
    assert settings.load(artifacts=tmp_path).artifacts == tmp_path

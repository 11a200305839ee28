"""A sample workbench behind the pages."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import Engine
from streamlit.components.v2 import manifest_scanner

from tests.dashboard.opened import Workbench
from tests.sample import build, films


@pytest.fixture(scope="session", autouse=True)
def scanned_once() -> Iterator[None]:
    """Every AppTest looks through all installed packages for components, which takes longer than most pages: one look
    is enough for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def served(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings that point the pages at this test's database and artifact folder; nothing is in them."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    monkeypatch.setenv("PNEUMOSCOPE_ARTIFACTS", str(artifacts))
    monkeypatch.setenv("DATABASE_URL", database_url)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield artifacts
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def workbench(engine: Engine, served: Path, tmp_path: Path) -> Workbench:
    """60 tiny images, marked synthetic, with one finished run of every kind and one that failed."""
    pictures = films(60)
    folder = tmp_path / "films"
    return Workbench(engine, served, folder, build(engine, served, folder, pictures=pictures), pictures)

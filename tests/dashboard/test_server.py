"""What the server says when a page fails under it."""

import pytest
import streamlit as st
from sqlalchemy.exc import OperationalError

from dashboard import server


def test_a_database_that_goes_away_is_one_line_and_other_errors_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(st, "error", lambda text, **_: shown.append(text))
    gone = OperationalError("SELECT secret", {}, Exception("connection refused\nIs the server running?"))
    assert server.explain(gone)
    assert shown == ["Lost connection to the database: connection refused. Reload the page once it is back."]
    assert not server.explain(ValueError("something else"))
    assert len(shown) == 1

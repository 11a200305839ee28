"""The URL as the state of a page: when the browser is told of its query."""

import pytest
from streamlit.runtime.state import QueryParamsProxy
from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from dashboard.components import address

    address.settle()
    st.button("Box", on_click=lambda: address.put(box="1"))


def test_a_query_is_told_once_because_a_repetition_that_arrives_after_a_step_back_would_undo_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    tell = QueryParamsProxy.from_dict

    def noted(proxy: QueryParamsProxy, query: dict[str, str]) -> None:
        told.append(query)
        tell(proxy, query)

    monkeypatch.setattr(QueryParamsProxy, "from_dict", noted)
    test = AppTest.from_function(page)
    test.query_params["split"] = "test"
    test.run().run()
    assert told == [{"split": "test"}]
    test.button[0].click().run().run()
    assert told[1:] == [{"split": "test", "box": "1"}]
    test.query_params.pop("box")
    test.run().run()
    assert told[2:] == [{"split": "test"}]

"""The reports on one image side by side, one column per strategy, and the differences between two of them."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import address, filters, wording
from dashboard.components.browser import linked
from dashboard.components.reports import report_view
from db.queries.reports import ReportRow
from engine.reporting.differences import Piece, compare, findings_apart
from engine.reporting.findings import read


def show(rows: Sequence[ReportRow], view: filters.View) -> None:
    """All reports: a row for each model, a column for each strategy, showing the latest report of each. view: the
    selected run."""
    report_view.legend()
    latest: dict[tuple[str, str], ReportRow] = {}
    earlier: dict[tuple[str, str], list[ReportRow]] = {}
    for row in sorted(rows, key=lambda row: -row.report.id):
        place = row.report.model, row.report.strategy
        if latest.setdefault(place, row) is not row:
            earlier.setdefault(place, []).append(row)
    strategies = list(dict.fromkeys(strategy for _, strategy in sorted(latest, key=lambda p: latest[p].report.id)))
    for model in sorted({model for model, _ in latest}):
        st.subheader(wording.plain(model), anchor=False)
        for column, strategy in zip(st.columns(len(strategies)), strategies, strict=True):
            with column:
                st.caption(report_view.named(strategy))
                if (model, strategy) not in latest:
                    st.caption("no report")
                    continue
                report_view.show(latest[model, strategy], view, brief=True)
                if (model, strategy) in earlier:
                    with st.popover(wording.count(len(earlier[model, strategy]), "earlier report")):
                        for row in earlier[model, strategy]:
                            report_view.show(row, view)


def differences(rows: Sequence[ReportRow]) -> None:
    """Two reports chosen in the URL (first, second): differing words highlighted, and findings that differ."""
    names = {
        str(row.report.id): f"{report_view.named(row.report.strategy)} · {row.report.model}, report {row.report.id}"
        for row in sorted(rows, key=lambda row: row.report.id)
    }
    known = {str(row.report.id): row.report.text for row in rows}
    with st.expander("Compare two reports", expanded=bool(address.get("first") or address.get("second"))):
        left, right = st.columns(2)
        with left:
            first = address.menu("First report", names, name="first", placeholder="Choose a report")
        with right:
            second = address.menu("Second report", names, name="second", placeholder="Choose a report")
        if first is None or second is None:
            st.caption(
                "Choose two reports. Words that differ between similar sentences are highlighted, as are whole "
                "sentences without a similar one."
            )
            return
        both = known[first], known[second]
        for column, text, pieces in zip((left, right), both, compare(*both), strict=True):
            with column.container(border=True), report_view.folded(text):
                st.markdown(marked(pieces))
        apart = findings_apart(read(known[first]), read(known[second]))
        if not apart:
            st.markdown("Both reports agree on every finding.")
            return
        table = [[name.replace("_", " ").capitalize(), *map(_statement, both)] for name, *both in apart]
        linked.table(["Finding", "First report", "Second report"], table, key="apart", caption="Findings that differ")


def marked(pieces: Sequence[Piece]) -> str:
    """Pieces as Markdown that shows their text verbatim, with words that only this report has bold and coloured."""
    parts = []
    for piece in pieces:
        text = wording.plain(piece.text)
        for line_end, line in enumerate(text.split("\n")):
            parts.append("\n" if line_end else "")
            inner = line.strip()
            if piece.own and inner:
                before, after = line[: line.index(inner)], line[line.index(inner) + len(inner) :]
                line = f"{before}:blue-background[**{inner}**]{after}"
            parts.append(line)
    return wording.lines("".join(parts))


def _statement(parts: Sequence[str]) -> str:
    return ", ".join(parts) or "not mentioned"

"""Reports that match the filters, next to their images, and a comparison of models and strategies."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filter_words, filters, frame, panels
from dashboard.components.reports import exports, leaderboard, matches, report_view
from db.queries import evaluation, reports
from db.queries.reports import ReportQuestion
from engine.metrics.names import NAMES

SIZE = 10

dataset = frame.open_dataset()
view = filters.view(dataset)
with resources.reading() as session:
    models, strategies = reports.choices(session, dataset.id)
    compared = reports.leaderboard(session, dataset.id)
    unscored = reports.unscored(session, dataset.id)
    evaluated = evaluation.latest(session, dataset.id)

scores = {name: NAMES[name] for name in report_view.SHARES if any(name in one.means for one in compared)}
with st.sidebar:
    text = address.words("Search report text", name="words", placeholder="opacity")
    label = filters.choose("Image label", filters.offered(dataset)[1], name="label")
    cause = filters.choose("Image cause", filters.causes(dataset), name="cause")
    outcome = address.menu("Outcome", filters.OUTCOMES, name="outcome") if view.judged else None
    strategy = address.menu("Strategy", {name: report_view.named(name) for name in strategies}, name="strategy")
    model = address.menu("Model", {name: name for name in models}, name="model")
    stance = address.menu("Report stance", report_view.STANCES, name="stance")
    problem = address.menu("Problem", report_view.PROBLEMS, name="problem")
    score = address.menu("Score", scores, name="score")
    low, high = address.share_range("Score range", low="score_low", high="score_high") if score else (0.0, 1.0)
    against = address.menu("Disagreement", report_view.QUEUES, name="queue") if view.judged else None

question = ReportQuestion(
    dataset.id,
    label=label,
    cause=cause,
    outcome=outcome,
    judged=view.judged if outcome else None,
    own_threshold=view.question.own_threshold if outcome else None,
    strategy=strategy,
    model=model,
    stance=stance,
    problem=problem,
    score=score,
    low=low,
    high=high,
    keyword=text or None,
    disagreeing=view.judged if against else None,
)
found = matches.page(question, SIZE)

st.title("Reports")
if not compared and not found.total:
    panels.missing("There are no reports yet. Run:", panels.chain(dataset, "report"))
    st.stop()
written = sum(one.reports for one in compared)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.markdown(found.summary(written))
    exports.button(dataset, question, view, disabled=not found.total)
with st.expander("Compare models and strategies", expanded=found.total == written):
    leaderboard.show(dataset, compared, evaluated, selected=view.run)

report_view.not_scored(dataset, unscored)
report_view.scored_otherwise(dataset, problem, score, view)
if found.rows:
    report_view.legend()
report_view.beside_images(dataset, found.rows, view)
if ignored := filter_words.unknown({"strategy": strategies, "model": models}):
    st.caption(ignored)
if not found.rows:
    st.info("No report matches all of these filters.")
    kept = frame.kept(dataset) | address.pinned()
    st.page_link(frame.FOLDER / "reports.py", label="All reports", icon=":material/filter_alt_off:", query_params=kept)
address.pages(found.total, SIZE)

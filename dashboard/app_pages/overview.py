"""Overview: what the dataset contains, how good the results are, and what needs attention."""

import streamlit as st

from dashboard import resources
from dashboard.components import familiar, figures, frame, panels, wording
from dashboard.components.classification import sides, subgroups
from dashboard.components.overview import attention, classification, classifier, classifiers, highlights, holdings
from dashboard.components.reports import leaderboard
from db.queries import datasets, evaluation, reports, runs

dataset = frame.open_dataset()
with resources.reading() as session:
    rows = datasets.counts(session, dataset.id)
    ingest = runs.current(session, "ingest", dataset.id)
    asked = classifier.asked(session, dataset)
    own = evaluation.of_run(session, asked) if asked else None
    evaluated = own or evaluation.latest(session, dataset.id)
    standings = reports.leaderboard(session, dataset.id)

st.title(wording.plain(dataset.name))
st.markdown(holdings.described(dataset, rows, ingest))
view = classifier.view(dataset, evaluated)
classifier.headline(dataset, view.run, evaluated, asked=asked)
if asked and own is None:
    classifier.unevaluated(dataset, asked, evaluated)
familiar.warn(view.run)
tested = evaluated is not None and figures.tested(evaluated[1])
original = tested and not dataset.synthetic
if evaluated is not None:
    highlights.show(dataset, view, evaluated, original=original)
    highlights.warnings(evaluated[0])

left, right = st.columns([3, 2], gap="large")
with left:
    st.header("Images")
    holdings.show(dataset, rows, view)
with right:
    st.header("Needs attention")
    attention.show(dataset, view)

st.header("Results")
if evaluated is None and (refused := familiar.refused(view.run)):
    st.markdown(refused)
    st.stop()
if evaluated is None:
    panels.missing("This dataset has not been evaluated yet. Run:", panels.chain(dataset, "evaluate"))
    st.stop()

run, metrics = evaluated
worded = any(metric.name.startswith("text_") for metric in metrics["retrieval"])
notes = [
    f"95 % intervals are over patients{' (text search: over queries)' if worded else ''}.",
    "Linked values open the images that lower them.",
    classification.evaluated_on(metrics["classification"]),
    figures.ORIGIN if original else "",
    figures.FILES if holdings.has_copies(rows) else "",
]
st.caption(" ".join(filter(None, notes)))
if metrics["classification"]:
    classification.show(dataset, view, run, metrics["classification"], original=original)
    subgroups.show(dataset, next(sides.of_evaluation(view, run, metrics["classification"]), None))
    classifiers.show(dataset, view)
if metrics["retrieval"]:
    figures.retrieval(metrics["retrieval"], original=original)
else:
    panels.missing("Retrieval has not been evaluated yet. Run:", panels.chain(dataset, "evaluate", after="embed"))
if metrics["reports"]:
    named = leaderboard.by_slice(dataset, standings, metrics["reports"])
    labelled = figures.reports(metrics["reports"], named)
    written = wording.count(sum(one.reports for one in standings), "report")
    compared = "" if dataset.synthetic else "; the original tool wrote 40"
    unlabelled = "Stance and keyword alignment are not measured because they need labels."
    part = leaderboard.unmeasured(dataset, standings, evaluated) if labelled else unlabelled
    st.caption(f"{written}{compared}. {part}")
else:
    panels.missing("No report has been scored yet. Run:", panels.chain(dataset, "evaluate", after="report"))

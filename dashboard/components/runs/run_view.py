"""The page of a run: its progress, settings and results."""

import json
from collections.abc import Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import figures, frame, panels, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.case import audit_findings
from dashboard.components.runs import naming, related, results, run_comparison, run_files
from db.models import Dataset, ReportFailure, Run
from db.queries import evaluation, overview, reports, runs
from engine.commands import job, shell

KINDS = (
    *("ingest", "validate", "train", "predict", "report", "score", "embed", "duplicates", "map"),
    *("evaluate", "audit", "export", "forget"),
)
BROKEN = ("failed", "lost", "interrupted")
SKIPPED = 200
"""Maximum number of skipped files and failed reports that are listed; counts are complete."""


def whose(run_id: int | None, dataset: Dataset) -> Dataset:
    """The run's dataset, for its banner and links; the selected dataset if there is no run or it has none."""
    with resources.reading() as session:
        run = runs.find(session, run_id) if run_id is not None else None
        own = session.get(Dataset, run.dataset_id) if run and run.dataset_id else None
    return own or dataset


def standing_of(run_id: int | None) -> str | None:
    """Current status of the run, None if it does not exist; without a number, "running" if any run is."""
    with resources.reading() as session:
        if run_id is None:
            return "running" if overview.running(session) else None
        run = runs.find(session, run_id)
    return runs.status(run) if run else None


def one(dataset: Dataset, run_id: int) -> None:
    """Current state of a run and, while it runs, its growing curves. dataset: the run's, see `whose`."""
    with resources.reading() as session:
        run = runs.find(session, run_id)
    st.page_link(
        frame.FOLDER / "runs.py", label="All runs", icon=":material/arrow_back:", query_params=frame.kept(dataset)
    )
    if run is None:
        st.title("No such run")
        st.markdown(frame.absent_run(run_id) or "")
        return
    standing = runs.status(run)
    st.title(f"Run {run.id}: {', '.join([run.kind, *map(wording.plain, naming.description(run)), standing])}")
    related.show(dataset, run)
    if standing == "running":
        share = min(1.0, run.done / run.total) if run.total else 0.0
        st.progress(share, text=progress(run, standing))
    if standing in BROKEN:
        _stopped(run, standing)
    rows: list[list[Cell | str]] = [
        ["Dataset", Cell(naming.of_dataset(dataset), frame.here("", dataset)) if run.dataset_id else "none"],
        ["Started", f"{run.started:%Y-%m-%d %H:%M} UTC, {wording.ago(run.started)}"],
        ["Duration", wording.duration(run.seconds)],
        ["Last heartbeat", wording.ago(run.heartbeat)],
        ["Process", f"{run.pid} on {run.host}"],
        ["Code version", run.code_version],
        ["Seed", wording.count(run.seed) if run.seed is not None else "none"],
    ]
    linked.table(["", "This run"], rows, key="run", caption="State of the run")
    if standing == "running":
        _curves(dataset, run_id)


def _stopped(run: Run, standing: str) -> None:
    """Why the run did not finish, and the command that resumes it, if known."""
    reason = "its process died" if standing == "lost" else run.error or "it stopped without an error message"
    st.error(wording.plain(reason), icon=":material/error:")
    if run.command:
        st.markdown("This command resumes it where it stopped:")
        st.code(run.command, language=None, wrap_lines=True)
    else:
        st.markdown("The same command resumes it where it stopped.")


def details(dataset: Dataset, run_id: int, standing: str | None) -> None:
    """Settings and results of a run. dataset: the run's, see `whose`; standing: its status, see `standing_of`."""
    with resources.reading() as session:
        run = runs.find(session, run_id)
        if run is None:
            return
        metrics, files = runs.metrics(session, run_id), runs.artifacts(session, run_id)
        lost, unwritten = reports.failed(session, run_id, limit=SKIPPED)
        reasons, skipped = overview.skipped(session, run_id), runs.skipped(session, run_id, limit=SKIPPED)
    run_comparison.offer(dataset, run)
    if standing != "running":
        _curves(dataset, run_id)
    if standing == "finished":
        results.show(dataset, run, metrics)
    audit_findings.slices(dataset, run)
    if run.command and standing not in BROKEN:
        st.markdown("The command that repeats this run:" if run.kind != "forget" else "The command of this run:")
        st.code(run.command, language=None, wrap_lines=True)
    elif standing not in BROKEN:
        st.caption("The command of this run was not recorded.")
    if run.traceback:
        with st.expander("Traceback"):
            st.code(run.traceback, language=None, wrap_lines=True)
    with st.expander("Configuration", expanded=True):
        st.code(json.dumps(run.config, indent=2), language="json", wrap_lines=True)
    if run.summary:
        with st.expander("Summary"):
            st.code(json.dumps(run.summary, indent=2), language="json", wrap_lines=True)
    run_comparison.previous(dataset, run)
    if metrics:
        st.header("Metrics")
        figures.listing(metrics, key="run_metrics")
    if files:
        run_files.listing(files)
    _forgetting(dataset, run, standing)
    if lost:
        _unwritten(dataset, lost, unwritten)
    if reasons:
        st.header("Skipped files")
        st.markdown(", ".join(f"{wording.plain(reason)}: {number:,}" for reason, number in reasons.items()) + ".")
        table: list[list[Cell | str]] = [
            [one.path, one.reason, _detail(dataset, one.image_id, one.detail)] for one in skipped
        ]
        linked.table(["File", "Reason", "Detail"], table, key="skipped", caption="Files skipped by ingest")


def _forgetting(dataset: Dataset, run: Run, standing: str | None) -> None:
    """The command that removes the run or, for the current ingest, its dataset; nothing while it runs, nor for forget
    runs. dataset: the run's, see `whose`."""
    if standing == "running" or run.kind == "forget":
        return
    with resources.reading() as session:
        ingest = runs.current(session, "ingest", run.dataset_id) if run.kind == "ingest" and run.dataset_id else None
    whole = ingest is not None and ingest.id == run.id
    what = "the dataset, including this run" if whole else "this run"
    st.markdown(
        f"To remove {what}, run this command with `--yes`; without, it only lists what would go and what depends on it:"
    )
    st.code(job("forget", dataset.name) if whole else shell("forget", str(run.id)), language=None, wrap_lines=True)


def _unwritten(dataset: Dataset, total: int, failed: Sequence[ReportFailure]) -> None:
    """The reports that the run failed to generate, with reasons."""
    st.header("Failed reports")
    st.markdown(f"{wording.count(total, 'report')}; run the same command to retry.")
    table: list[list[Cell | str]] = [
        [Cell(f"Image {one.image_id}", frame.here("case", dataset, image=one.image_id)), one.strategy, one.reason]
        for one in failed
    ]
    linked.table(["Image", "Strategy", "Reason"], table, key="unwritten", caption="Failed reports")


def progress(run: Run, standing: str) -> str:
    """Progress of a running run, or the error of one that did not finish."""
    if standing == "running":
        counted = f" {run.done:,} of {run.total:,}" if run.total else ""
        left = f", {wording.duration(run.eta_seconds)} left" if run.eta_seconds is not None else ""
        return f"{run.stage or 'starting'}{counted}{left}"
    return (run.error or "") if standing in BROKEN else ""


def _detail(dataset: Dataset, image_id: int | None, detail: str) -> Cell:
    return Cell(detail, frame.here("case", dataset, image=image_id) if image_id else None)


def _curves(dataset: Dataset, run_id: int) -> None:
    """Loss and AUC by epoch, or AUC by fold; pandas and altair are imported only if a run has curves."""
    with resources.reading() as session:
        curves = evaluation.curves(session, run_id)
    if not curves:
        return
    import pandas as pd

    from engine.charts.classification import training_curves

    with panels.guarded("The training curves"):
        figures.drawn(training_curves(pd.DataFrame(curves), synthetic=dataset.synthetic))

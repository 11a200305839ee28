"""The exported files about an audit: curves, probes, the failures of each slice, and a Markdown report."""

from pathlib import Path

from db import session
from db.models import Metric, Run
from db.queries import audit as queries
from db.queries import predictions, runs
from engine.commands import job
from engine.errors import InputError
from jobs.audits.subject import values_of
from jobs.exports.sheets import Pictures, save
from jobs.exports.source import Export
from jobs.results.source_runs import thresholds_of

PICTURES = ("deletion_insertion", "shortcut_probes", "probe_correlations", "stress_tests", "failures_by_slice")
GROUP = "called_pneumonia"
EACH = 3


def audit_of(export: Export) -> Run:
    """The current audit of the evaluated predict run. Raises InputError if there is none."""
    predict = export.run("predict")
    with session.reading(export.context.engine) as db:
        found = queries.latest(db, predict.id)
    if found is None:
        made = job("audit", export.dataset.name)
        raise InputError(f"predict run {predict.id} has not been audited; audit it with: {made}; then export again")
    return found


def curves_chart(export: Export) -> None:
    """deletion_insertion.png."""
    from engine.charts import audit as charts
    from engine.charts import tables

    audit = audit_of(export)
    with session.reading(export.context.engine) as db:
        table = tables.faithfulness(runs.metrics(db, audit.id, curves=True), group=GROUP)
    if table.empty:
        raise InputError(f"audit run {audit.id} measured no image that is predicted positive")
    chart = charts.faithfulness_curves(table, group=GROUP.replace("_", " "), synthetic=export.synthetic)
    export.chart("deletion_insertion.png", chart)


def probes_chart(export: Export) -> None:
    """shortcut_probes.png."""
    from engine.charts import audit as charts
    from engine.charts import tables

    audit = audit_of(export)
    table = tables.probes(metrics_of(export, audit))
    if table.empty:
        raise InputError(f"audit run {audit.id} has no shortcut probes")
    export.chart("shortcut_probes.png", charts.shortcut_probes(table, synthetic=export.synthetic))


def correlations_chart(export: Export) -> None:
    """probe_correlations.png."""
    from engine.charts import audit as charts
    from engine.charts import tables

    audit = audit_of(export)
    table = tables.correlations(metrics_of(export, audit))
    if table.empty:
        raise InputError(f"audit run {audit.id} did not compare the classifier with any probe")
    export.chart("probe_correlations.png", charts.probe_correlations(table, synthetic=export.synthetic))


def stresses_chart(export: Export) -> None:
    """stress_tests.png."""
    from engine.charts import audit as charts
    from engine.charts import tables

    audit = audit_of(export)
    table = tables.stresses(metrics_of(export, audit))
    if table.empty:
        raise InputError(f"audit run {audit.id} has no stress tests")
    export.chart("stress_tests.png", charts.stress_tests(table, synthetic=export.synthetic))


def slices_sheet(export: Export) -> None:
    """failures_by_slice.png: the most wrong failures of each slice."""
    from engine.documents.contact_sheets import failures_by_slice

    audit, predict = audit_of(export), export.run("predict")
    threshold = thresholds_of(predict)["all"]
    pictures = Pictures.of(export, predict)
    with session.reading(export.context.engine) as db:
        slices, members = queries.slices(db, audit.id), queries.members(db, audit.id)
    shown = []
    for one in slices:
        rows = [pictures.predicted[number] for number in members.get(one.id, []) if number in pictures.predicted]
        wrong = (row for row in rows if row.failed(threshold))
        worst = sorted(wrong, key=lambda row: row.error, reverse=True)[:EACH]
        heading = f"{one.name}: {one.failures} of {one.images} wrong ({one.rate:.0%}, {one.low:.0%} to {one.high:.0%})"
        samples = [pictures.sample(row) for row in worst]
        shown.append((heading, one.description, samples))
    sheet = failures_by_slice(shown, threshold=threshold, synthetic=export.synthetic, each=EACH)
    save(export, "failures_by_slice.png", sheet)


def audit_report(export: Export) -> None:
    """audit_report.md."""
    from engine.documents.audit_reports import Duplicate, SliceRow
    from engine.documents.audit_reports import audit_report as written
    from engine.metrics.bootstrap import Interval

    audit = audit_of(export)
    split = export.judged()[1]
    metrics = metrics_of(export, audit)
    with session.reading(export.context.engine) as db:
        slices = queries.slices(db, audit.id)
        near = queries.near_duplicates(db, audit.id)
        known = predictions.images(db, {number for row in near for number in (row.image_id, row.neighbour_id)})
    summary = audit.summary or {}
    names = {number: Path(image.path).name for number, image in known.items()}
    facts = {
        "audit": f"run {audit.id}, code {audit.code_version}, seed {audit.seed}",
        "predict run": audit.config["predict_run"],
        "train run": audit.config["train_run"] or "unknown",
        "audited images": f"{summary['images']:,} of split {split}",
        "failures": f"{summary['failures']:,}",
        "deletion and insertion": f"up to {audit.config['sample']} images per group",
    }
    text = written(
        values_of(metrics, split),
        values_of(metrics, "oof"),
        [
            SliceRow(
                *(one.name, one.images, one.patients, one.failures),
                Interval(one.rate, one.low, one.high, one.images),
                one.p_value,
                one.description,
            )
            for one in slices
        ],
        [
            Duplicate(names[row.image_id], names[row.neighbour_id], row.hash_distance, row.similarity)
            for row in near
            if {row.image_id, row.neighbour_id} <= names.keys()
        ],
        verdicts=summary["verdicts"],
        skipped=summary["skipped"],
        facts=export.facts(facts),
        pictures=export.pictures(PICTURES),
        replicates=int(audit.config["replicates"]),
        synthetic=export.synthetic,
    )
    export.text("audit_report.md", text)


def metrics_of(export: Export, audit: Run) -> list[Metric]:
    """The audit's metrics."""
    with session.reading(export.context.engine) as db:
        return list(runs.metrics(db, audit.id))

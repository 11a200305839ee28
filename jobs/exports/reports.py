"""The exported texts: every generated report as CSV and JSON lines, and a Markdown report for each task."""

from contextlib import suppress

from db import session
from db.queries import runs
from db.queries.cases import LABEL_NAMES, label_name
from engine.errors import InputError
from jobs.exports.source import Export
from jobs.results.values import measured

EXAMPLES = 4
CLASSIFIER_PICTURES = (
    *("confusion_matrix", "roc_curve", "calibration", "accuracy_by_coverage", "training_curves"),
    *("sample_pred", "failure"),
)
REPORT_PICTURES = ("prompt_comparison", "report_cards")
RETRIEVAL_PICTURES = ("precision_at_k", "retrieval_results", "text_retrieval_results", "tsne")


def all_reports(export: Export) -> None:
    """all_reports.csv and all_reports.jsonl: one line per evaluated report, with its scores."""
    from engine.tables import csv_text, json_text

    reports, scores = export.reports()
    names = sorted({row.metric for row in scores})
    values = {(row.report_id, row.metric): row.value for row in scores}
    written = ("model", "revision", "strategy", "seconds", "tokens", "created", "text")
    head = ["dataset", "kind", "use", "id", "path", "split", "label", *written, *names]
    rows = [
        [
            export.dataset.name,
            "SYNTHETIC" if export.synthetic else "real",
            "research only",
            *(report.report_id, report.path, report.split, label_name(report.label)),
            *(getattr(report, name) for name in written),
            *(values.get((report.report_id, name)) for name in names),
        ]
        for report in reports
    ]
    export.text("all_reports.csv", csv_text(head, rows))
    if replaced := export.replaced():
        print(f"note: all_reports.csv leaves out {replaced:,} reports that newer ones by the same model replaced")
    lines = (json_text(dict(zip(head, row, strict=True))) for row in rows)
    export.text("all_reports.jsonl", "".join(f"{line}\n" for line in lines))


def classification_report(export: Export) -> None:
    """classification_report.md."""
    from engine.documents.markdown_reports import FIXED
    from engine.documents.markdown_reports import classification_report as written
    from engine.tables import times

    splits = export.classified()
    if not splits:
        raise export.absent("predict or train run", "predict")
    facts: dict[str, object] = {}
    for kind in ("train", "predict"):
        if export.evaluation.config[f"{kind}_run"]:
            run = export.run(kind)
            facts[f"{kind} run"] = f"run {run.id}, code {run.code_version}"
            for name, value in (run.summary or {}).items():
                if isinstance(value, str | int | float) and name != "train_run":
                    facts[f"{kind}: {name.replace('_', ' ')}"] = f"{value:.4g}" if isinstance(value, float) else value
            if (run.summary or {}).get("operating_point") == "half":
                facts[f"{kind}: threshold chosen on"] = FIXED
    if "test" in splits:
        with session.reading(export.context.engine) as db:
            facts["test split scored"] = f"{times(runs.test_openings(db, export.dataset.id))} in this database"
    ordered = {name: splits[name] for name in sorted(splits, key=lambda name: (name != "test", name))}
    text = written(
        ordered, facts=export.facts(facts), pictures=export.pictures(CLASSIFIER_PICTURES), **export.report_options
    )
    export.text("classification_report.md", text)


def generation_report(export: Export) -> None:
    """report_generation_report.md."""
    from engine.documents.markdown_reports import generation_report as written

    reports, _ = export.reports()
    of_first = [report for report in reports if report.image_id == reports[0].image_id][:EXAMPLES]
    examples = [(f"{one.path} ({LABEL_NAMES[one.label]}), {one.model} / {one.strategy}", one.text) for one in of_first]
    models = sorted({f"{report.model} {report.revision}" for report in reports})
    facts = export.facts({"reports": len(reports), "models": "; ".join(models)})
    values = [measured(row) for row in export.metrics["reports"]]
    pictures = export.pictures(REPORT_PICTURES)
    text = written(values, examples=examples, facts=facts, pictures=pictures, **export.report_options)
    export.text("report_generation_report.md", text)


def retrieval_report(export: Export) -> None:
    """retrieval_report.md."""
    from engine.documents.markdown_reports import retrieval_report as written

    row = export.index()
    values = [measured(metric) for metric in export.metrics["retrieval"]]
    made: dict[str, object] = {"figures made with": f"{row.embedder} {row.revision}, {row.count:,} images in the index"}
    with suppress(InputError):  # no index reads text
        reader = export.reader()
        made["text queries answered by"] = f"{reader.embedder} {reader.revision}"
    pictures = export.pictures(RETRIEVAL_PICTURES)
    text = written(values, facts=export.facts(made), pictures=pictures, **export.report_options)
    export.text("retrieval_report.md", text)

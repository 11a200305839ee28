"""The exported charts: training, confusion matrix, calibration, ROC, coverage, prompts, P@k and the t-SNE map."""

from dataclasses import asdict

import numpy as np

from db import session
from db.models import Metric
from db.queries import evaluation
from db.slice_names import report_slice
from engine.errors import InputError
from jobs.exports.source import SEED, Export
from jobs.results.source_runs import thresholds_of


def training_curves(export: Export) -> None:
    """training_curves.png."""
    import pandas as pd

    from engine.charts import classification as charts

    run = export.run("train")
    with session.reading(export.context.engine) as db:
        curves = evaluation.curves(db, run.id)
    if not curves:
        raise InputError(f"train run {run.id} has no training curves")
    export.chart("training_curves.png", charts.training_curves(pd.DataFrame(curves), synthetic=export.synthetic))


def classifier_charts(export: Export) -> None:
    """confusion_matrix.png, confusion_matrix_normalised.png, calibration.png, roc_curve.png."""
    import pandas as pd

    from engine.charts import classification as charts

    run, split, rows = export.judged()
    threshold = thresholds_of(run)["all"]
    values = {row.name: int(row.value or 0) for row in export.metrics["classification"] if is_count(row, split)}
    cells = {name.removeprefix("confusion_"): value for name, value in values.items()}
    if not cells:
        raise InputError(f"evaluation run {export.evaluation.id} has no metrics of split '{split}'")
    for normalised, name in ((False, "confusion_matrix.png"), (True, "confusion_matrix_normalised.png")):
        chart = charts.confusion_matrix(**cells, normalised=normalised, threshold=threshold, synthetic=export.synthetic)
        export.chart(name, chart)
    files = pd.DataFrame([asdict(row) for row in rows for _ in range(row.file_count)])
    error, by_chance = export.interval("ece", split), export.interval("ece_by_chance", split)
    chart = charts.calibration(files, ece=error, by_chance=by_chance, synthetic=export.synthetic)
    export.chart("calibration.png", chart)
    chart = charts.roc_curve(files, threshold=threshold, auc=export.interval("auc", split), synthetic=export.synthetic)
    export.chart("roc_curve.png", chart)


def coverage_chart(export: Export) -> None:
    """accuracy_by_coverage.png, for the split that the classifier is evaluated on."""
    from engine.charts import classification as charts
    from engine.charts import tables

    _, split, _ = export.judged()
    curve = tables.by_coverage(export.by_coverage, split=split)
    if curve.empty:
        raise InputError(f"evaluation run {export.evaluation.id} has no accuracy by coverage of split '{split}'")
    chart = charts.accuracy_by_coverage(curve, images=int(curve["n"].max()), synthetic=export.synthetic)
    export.chart("accuracy_by_coverage.png", chart)


def is_count(row: Metric, split: str) -> bool:
    """Whether the metric is a cell of the split's confusion matrix at the run's own threshold."""
    return row.name.startswith("confusion_") and (row.split, row.slice) == (split, "all")


def precision_chart(export: Export) -> None:
    """precision_at_k.png."""
    from engine.charts import retrieval as charts
    from engine.charts import tables

    table, chance = tables.precision_at_k(export.metrics["retrieval"])
    if table.empty:
        raise export.absent("measured vector index", "embed")
    chart = charts.precision_at_k(table, chance=chance, synthetic=export.synthetic)
    export.chart("precision_at_k.png", chart)


PROMPT_SCORES = {"stance_agreement": "Stance agreement", "keyword_alignment": "Keyword alignment"}


def prompt_chart(export: Export) -> None:
    """prompt_comparison.png."""
    import pandas as pd

    from engine.charts import reports as charts

    reports, _ = export.reports()
    groups = sorted({(report.model, report.strategy) for report in reports})
    tables = {}
    for name, score in PROMPT_SCORES.items():
        slices = {group: export.interval(name, "reports", report_slice(*group)) for group in groups}
        means = [
            {"model": model, "strategy": strategy, **asdict(interval)}
            for (model, strategy), interval in slices.items()
            if interval is not None
        ]
        if means:
            tables[score] = pd.DataFrame(means)
    if not tables:
        raise InputError("no report has a score against a label, since none of their images has a label")
    export.chart("prompt_comparison.png", charts.prompt_comparison(tables, synthetic=export.synthetic))


def embedding_map(export: Export) -> None:
    """tsne_embeddings.png: the test images, or all if there is no test split."""
    import pandas as pd

    from engine.charts import retrieval as charts
    from engine.retrieval.map.projection import tsne

    opened, rows, images = export.opened()
    places = tsne(np.asarray(opened.vectors[rows]), seed=SEED)
    points = [
        {"image_id": image.image_id, "x": float(x), "y": float(y), "label": image.label}
        for image, (x, y) in zip(images, places, strict=True)
    ]
    chart = charts.embedding_map(
        pd.DataFrame(points), method="t-SNE", embedder=opened.manifest.embedder, synthetic=export.synthetic
    )
    export.chart("tsne_embeddings.png", chart)

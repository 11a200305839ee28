"""Charts are rendered, state what they measure, and mark synthetic data."""

from functools import partial
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from engine.charts import audit, classification, reports, retrieval, style
from engine.errors import InputError
from engine.metrics.bootstrap import Interval
from engine.metrics.classification import youden_threshold

RNG = np.random.default_rng(0)
LABELS = (RNG.random(200) < 0.6).astype(int)
PREDICTIONS = pd.DataFrame(
    {"label": LABELS, "probability": 1 / (1 + np.exp(-(3 * (LABELS - 0.5) + RNG.normal(size=200))))}
)
CURVES = pd.DataFrame(
    [
        {"split": f"fold{fold}", "name": name, "step": step, "value": 0.5 / (step + 1) + 0.01 * fold}
        for fold in range(5)
        for name in ("train_loss", "valid_loss", "valid_auc")
        for step in range(6)
    ]
)
PRECISION = pd.DataFrame(
    [
        {"embedder": name, "k": k, "value": 0.9 - k / 100, "low": 0.87 - k / 100, "high": 0.92 - k / 100, "n": 619}
        for name in ("classifier", "efficientnet_lite0")
        for k in (1, 3, 5, 10)
    ]
)
HELD_OUT = pd.DataFrame(
    [{"split": "repeat0", "name": "valid_auc", "step": fold, "value": 0.99 + fold / 1000} for fold in range(5)]
)
PROMPTS = pd.DataFrame(
    [
        {"model": "template", "strategy": name, "value": value, "low": value - 0.1, "high": value + 0.1, "n": 10}
        for name, value in (("basic", 0.4), ("clinical_structured", 0.8))
    ]
)
FAITHFULNESS = pd.DataFrame(
    [
        {"mode": mode, "order": order, "share": step / 20, "value": 0.9 - step / 40, "low": 0.2, "high": 0.95, "n": 16}
        for mode in ("deletion", "insertion")
        for order in ("heatmap", "random", "centre")
        for step in range(21)
    ]
)
PROBES = pd.DataFrame(
    [
        {"probe": name, "where": where, "value": value, "low": value - 0.1, "high": value + 0.1, "n": 618}
        for name, value in (("frame pixels", 0.7), ("image size", 0.3))
        for where in ("out of fold", "test")
    ]
)
RELATED = pd.DataFrame(
    [
        {"probe": name, "where": where, "value": value, "low": value - 0.6, "high": value + 0.1, "n": 618}
        for name, where, value in zip(
            ("file", "frame", "greys", "frame", "size"),
            (*("whole image",) * 3, "frame hidden", "whole image"),
            (0.7, 0.3, 0.5, 0.4, 0.6),
            strict=True,
        )
    ]
)
COVERED = pd.DataFrame(
    [
        {"name": name, "coverage": at, "value": 1 - at / 1000, "low": 0.9 - at / 1000, "high": 1.0, "n": 2 * at}
        for name in ("accuracy", "recall", "specificity")
        for at in range(5, 101)
    ]
)
STRESSED = pd.DataFrame(
    [
        {"stress": stress, "name": name, "value": value, "low": value - 0.03, "high": value + 0.02, "n": 618}
        for stress, drop in {"unaltered": 0.0, "noisy": 0.22, "darker": 0.1, "blurred": 0.05}.items()
        for name, value in {"AUC": 0.97, "Recall (sensitivity)": 0.96, "Specificity": 0.88 - drop}.items()
    ]
)
POINTS = pd.DataFrame(
    {
        "image_id": range(6000),
        "x": RNG.normal(size=6000),
        "y": RNG.normal(size=6000),
        "label": [0.0, 1.0, np.nan] * 2000,
    }
)


def all_charts(synthetic: bool) -> dict[str, Any]:
    matrix = partial(classification.confusion_matrix, tp=381, fp=22, tn=212, fn=9, synthetic=synthetic)
    return {
        "training_curves": classification.training_curves(CURVES, synthetic=synthetic),
        "held_out": classification.training_curves(HELD_OUT, synthetic=synthetic),
        "confusion_matrix": matrix(),
        "confusion_matrix_normalised": matrix(normalised=True),
        "roc_curve": classification.roc_curve(
            PREDICTIONS, threshold=0.5, auc=Interval(0.98, 0.97, 0.99, 200), synthetic=synthetic
        ),
        "calibration": classification.calibration(
            PREDICTIONS, ece=Interval(0.05, 0.03, 0.08, 200), synthetic=synthetic
        ),
        "probability_histogram": classification.probability_histogram(PREDICTIONS, threshold=0.5, synthetic=synthetic),
        "accuracy_by_coverage": classification.accuracy_by_coverage(COVERED, images=200, synthetic=synthetic),
        "precision_at_k": retrieval.precision_at_k(PRECISION, chance=0.53, synthetic=synthetic),
        "prompt_comparison": reports.prompt_comparison({"Stance": PROMPTS, "Keywords": PROMPTS}, synthetic=synthetic),
        "embedding_map": retrieval.embedding_map(POINTS, method="t-SNE", embedder="classifier", synthetic=synthetic),
        "faithfulness_curves": audit.faithfulness_curves(FAITHFULNESS, group="called pneumonia", synthetic=synthetic),
        "shortcut_probes": audit.shortcut_probes(PROBES, synthetic=synthetic),
        "probe_correlations": audit.probe_correlations(RELATED, synthetic=synthetic),
        "stress_tests": audit.stress_tests(STRESSED, synthetic=synthetic),
    }


def specification(chart: Any) -> dict[str, Any]:
    with alt.data_transformers.enable("default", max_rows=None):
        made: dict[str, Any] = chart.to_dict()
    return made


def rows(chart: Any, column: str) -> list[dict[str, Any]]:
    """The rows of the chart's tables that have `column`."""
    tables = specification(chart)["datasets"].values()
    return [row for table in tables for row in table if column in row]


@pytest.mark.parametrize("name", list(all_charts(synthetic=False)))
def test_every_chart_becomes_a_legible_png(name: str, tmp_path: Path) -> None:
    path = tmp_path / "made" / f"{name}.png"
    style.save_png(all_charts(synthetic=False)[name], path)
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[0] >= 400
    assert picture.shape[1] >= 800
    ink = np.asarray((picture < 250).any(axis=2))
    assert 0.01 < ink.mean() < 0.9
    assert not ink[:8].any(), "the title touches the border"
    first = (0x00, 0x72, 0xB2) if name != "probability_histogram" else (0x66, 0xAA, 0xD1)  # bars let each other through
    assert (abs(picture.astype(int) - first) <= 1).all(axis=2).any(), "nothing is drawn in the first colour"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", list(all_charts(synthetic=False)))
def test_every_chart_of_phantoms_says_synthetic_and_no_other_does(name: str) -> None:
    for synthetic in (True, False):
        title = specification(all_charts(synthetic)[name])["title"]
        assert ("SYNTHETIC" in " ".join(title["subtitle"])) is synthetic


@pytest.mark.parametrize(
    "name",
    [
        "confusion_matrix",
        "roc_curve",
        "calibration",
        "accuracy_by_coverage",
        "precision_at_k",
        "prompt_comparison",
        "embedding_map",
        "faithfulness_curves",
        "shortcut_probes",
    ],
)
def test_charts_of_samples_say_how_many_they_show(name: str) -> None:
    expected = {"confusion_matrix": "624", "precision_at_k": "619", "prompt_comparison": "10", "embedding_map": "6,000"}
    expected |= {"faithfulness_curves": "16", "shortcut_probes": "618"}
    title = specification(all_charts(synthetic=False)[name])["title"]
    assert f"n = {expected.get(name, '200')}" in title["subtitle"][0]


def test_probes_below_chance_are_not_cut_off() -> None:
    scales = str(specification(audit.shortcut_probes(PROBES)))
    assert "'domain': [0.1, 1]" in scales
    assert [row["value"] for row in rows(audit.shortcut_probes(PROBES), "value")].count(0.5) == 1


def test_correlations_below_zero_are_not_cut_off_and_none_is_a_line() -> None:
    chart = audit.probe_correlations(RELATED)
    assert "'domain': [-0.4, 1]" in str(specification(chart))
    assert [row["value"] for row in rows(chart, "value")].count(0.0) == 1


def test_stresses_stand_below_the_unaltered_images_worst_first() -> None:
    chart = specification(audit.stress_tests(STRESSED))
    orders = [layer["encoding"]["y"]["sort"] for layer in chart["layer"] if "y" in layer["encoding"]]
    assert orders and all(order == ["unaltered", "noisy", "darker", "blurred"] for order in orders)
    assert "'domain': [0.5, 1]" in str(chart)


def test_confusion_matrix_shows_counts_or_shares_of_the_true_label() -> None:
    matrix = partial(classification.confusion_matrix, tp=3, fp=1, tn=1, fn=0, synthetic=False)
    assert [row["text"] for row in rows(matrix(), "text")] == ["1", "1", "0", "3"]
    shares = rows(matrix(normalised=True), "text")
    assert [row["text"] for row in shares] == ["50.0%", "50.0%", "0.0%", "100.0%"]


def test_a_class_without_images_has_no_share() -> None:
    shares = rows(classification.confusion_matrix(tp=3, fp=0, tn=0, fn=1, normalised=True, synthetic=False), "text")
    assert [row["text"] for row in shares] == ["0", "0", "25.0%", "75.0%"]


def test_roc_marks_its_own_youden_point_and_the_threshold_in_use() -> None:
    youden, used = rows(classification.roc_curve(PREDICTIONS, threshold=0.5), "text")
    best = youden_threshold(PREDICTIONS["label"], PREDICTIONS["probability"])
    assert f"Youden threshold chosen on this curve, {best:.3f}" in youden["text"]
    called = PREDICTIONS["probability"] >= 0.5
    assert used["y"] == pytest.approx(called[PREDICTIONS["label"] == 1].mean())
    assert used["x"] == pytest.approx(called[PREDICTIONS["label"] == 0].mean())
    assert len(rows(classification.roc_curve(PREDICTIONS), "text")) == 1


def test_the_histogram_counts_every_image_of_each_label_once() -> None:
    bars = rows(classification.probability_histogram(PREDICTIONS, threshold=0.25), "images")
    for label, name in enumerate(("normal", "pneumonia")):
        wanted = PREDICTIONS["probability"][PREDICTIONS["label"] == label]
        of_it = [bar for bar in bars if bar["label"].startswith(name)]
        assert sum(bar["images"] for bar in of_it) == len(wanted)
        for bar in of_it:
            inside = (wanted >= bar["low"]) & ((wanted < bar["high"]) | (bar["high"] == 1))
            assert bar["images"] == inside.sum()


def test_a_long_roc_is_thinned_and_keeps_its_ends() -> None:
    draw = np.random.default_rng(0)
    many = pd.DataFrame({"label": np.arange(5_000) % 2, "probability": draw.uniform(size=5_000)})
    line = [row for row in rows(classification.roc_curve(many), "x") if "text" not in row]
    assert len(line) <= classification.CORNERS + 2
    assert {(0.0, 0.0), (1.0, 1.0)} <= {(row["x"], row["y"]) for row in line}


def test_roc_of_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="both classes"):
        classification.roc_curve(PREDICTIONS[PREDICTIONS["label"] == 1])


def test_coverage_has_a_band_for_the_accuracy_alone_a_name_in_words_and_no_line_for_what_is_unknown() -> None:
    made = specification(classification.accuracy_by_coverage(COVERED[COVERED["name"] != "recall"], images=200))
    told = "accuracy by coverage: 90.0 % at 100 %, 91.0 % at 90 %, 95.0 % at 50 % coverage"
    assert made["description"] == f"Line chart, {told}"
    band, lines, _ = made["layer"]
    assert band["mark"]["type"] == "area" and "datum.name == 'accuracy'" in str(band["transform"])
    assert lines["encoding"]["color"]["scale"]["domain"] == ["Accuracy", "Specificity"]
    assert lines["encoding"]["strokeDash"]["scale"]["range"] == [[1, 0], [2, 3]]
    assert lines["encoding"]["y"]["scale"]["domain"][1] == 1


def test_a_coverage_without_intervals_is_drawn_without_a_band(tmp_path: Path) -> None:
    bare = classification.accuracy_by_coverage(COVERED.assign(low=np.nan, high=np.nan), images=200)
    counts = []
    for number, made in enumerate((bare, classification.accuracy_by_coverage(COVERED, images=200))):
        style.save_png(made, tmp_path / f"{number}.png")
        counts.append((np.asarray(Image.open(tmp_path / f"{number}.png").convert("L")) < 240).sum())
    assert 0 < counts[0] < counts[1]


def test_a_training_without_epochs_shows_the_fold_that_was_held_out_and_no_epoch() -> None:
    drawn = all_charts(synthetic=False)["held_out"]
    assert sorted({row["fold"] for row in rows(drawn, "fold")}) == [1, 2, 3, 4, 5]
    assert "Epoch" not in str(specification(drawn))
    assert "Loss" not in str(specification(drawn))


def test_epochs_of_several_repeats_stay_epochs() -> None:
    repeated = CURVES.assign(split="repeat0-" + CURVES["split"])
    drawn = classification.training_curves(repeated, synthetic=False)
    assert "Epoch" in str(specification(drawn))
    assert not rows(drawn, "fold")


@pytest.mark.parametrize("curves", [HELD_OUT, CURVES.assign(split="repeat0-" + CURVES["split"])])
def test_curves_by_an_earlier_version_are_drawn_alike_and_once_if_the_run_was_continued(curves: pd.DataFrame) -> None:
    earlier = curves.assign(split=curves["split"].str.replace("repeat", "deal"))
    drawn, *others = (
        classification.training_curves(stored, synthetic=False).to_dict()
        for stored in (curves, earlier, pd.concat([earlier.assign(value=0.5), curves]))
    )
    assert others == [drawn, drawn]


def test_points_without_an_interval_are_drawn_without_whiskers(tmp_path: Path) -> None:
    bare = PRECISION.assign(low=np.nan, high=np.nan)
    style.save_png(retrieval.precision_at_k(bare, chance=None), tmp_path / "bare.png")
    style.save_png(retrieval.precision_at_k(PRECISION, chance=None), tmp_path / "whiskers.png")
    count = {
        name: (np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")) < 200).sum()
        for name in ("bare", "whiskers")
    }
    assert 0 < count["bare"] < count["whiskers"]


LAID = POINTS[:120].assign(
    label="normal",
    outcome=["FN", "no outcome", "TP", "FP", "TN", "no outcome"] * 20,
    probability=[0.1, np.nan, 0.9, 0.9, 0.1, np.nan] * 20,
)
COUNTS = {str(outcome): count for outcome, count in LAID["outcome"].value_counts().items()}


def test_failures_are_drawn_above_hits_and_those_above_what_is_not_judged() -> None:
    made = retrieval.image_map(LAID, method="UMAP", by="outcome", counts=COUNTS, total=120)
    order = [row["outcome"] for row in rows(made, "outcome")]
    assert order == [*["no outcome"] * 40, *["TP", "TN"] * 20, *["FN", "FP"] * 20]


def coloured(made: alt.Chart, colour: str, tmp_path: Path) -> int:
    """How many pixels of the drawn chart have a colour."""
    style.save_png(made.properties(width=500), tmp_path / "coloured.png", scale=1)
    picture = np.asarray(Image.open(tmp_path / "coloured.png").convert("RGB")).astype(int)
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(picture - wanted) < 8).all(axis=2).sum())


def test_failures_are_drawn_larger_if_points_are_coloured_by_outcome(tmp_path: Path) -> None:
    made = retrieval.image_map(LAID, method="UMAP", by="outcome", counts=COUNTS, total=120)
    assert coloured(made, style.OUTCOME_COLOURS["FN"], tmp_path) > 20 * 22  # what the others' size would cover


@pytest.mark.parametrize("by", ["outcome", "probability"])
def test_without_outcomes_points_are_as_dark_as_when_coloured_by_label(by: str, tmp_path: Path) -> None:
    unseen = LAID.assign(outcome="no outcome", probability=np.nan)
    made = retrieval.image_map(unseen, method="UMAP", by=by, counts={"no outcome": 120}, total=120)
    assert darkest(made, tmp_path) == darkest(
        retrieval.image_map(
            unseen.assign(label="unknown"), method="UMAP", by="label", counts={"unknown": 120}, total=120
        ),
        tmp_path,
    )


def darkest(made: alt.Chart, tmp_path: Path) -> list[int]:
    """The darkest colour within the drawn points' part of the chart."""
    style.save_png(made.properties(width=500), tmp_path / "dark.png", scale=1)
    return list(np.asarray(Image.open(tmp_path / "dark.png").convert("RGB"))[120:500, 40:480].min(axis=(0, 1)))


def test_a_ring_makes_out_one_image_above_all_others(tmp_path: Path) -> None:
    counts = {"normal": 120}
    plain = retrieval.image_map(LAID, method="UMAP", by="label", counts=counts, total=120)
    ringed = retrieval.image_map(LAID, method="UMAP", by="label", counts=counts, total=120, marked=LAID["image_id"][7])
    assert coloured(plain, style.GREEN, tmp_path) == 0
    assert coloured(ringed, style.GREEN, tmp_path) > 150
    assert rows(ringed, "image_id")[-1]["image_id"] == LAID["image_id"][7]


def test_images_without_a_probability_are_drawn_grey_beneath_the_others(tmp_path: Path) -> None:
    made = retrieval.image_map(LAID, method="UMAP", by="probability", counts={}, total=120)
    assert [row["probability"] is None for row in rows(made, "probability")] == [True] * 40 + [False] * 80
    assert specification(made)["title"]["subtitle"] == ["n = 120 images, 80 with a probability, the others grey"]
    style.save_png(made.properties(width=500), tmp_path / "map.png")
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    faint = 255 - 0.25 * (255 - 0x8A)
    assert (np.abs(picture - faint) < 2).all(axis=2).sum() > 40 * 20


def test_points_of_the_map_can_be_picked_by_image() -> None:
    made = specification(all_charts(synthetic=False)["embedding_map"])
    assert {"name": "image", "select": {"type": "point", "fields": ["image_id"]}}.items() <= made["params"][0].items()
    assert {row["label"] for row in rows(retrieval.embedding_map(POINTS, method="t-SNE", embedder="x"), "label")} == {
        f"{name} (n = 2,000)" for name in ("normal", "pneumonia", "unknown")
    }


@pytest.mark.parametrize("dark", [True, False])
def test_a_page_s_chart_is_see_through_and_readable_on_its_ground(dark: bool) -> None:
    for synthetic in (True, False):
        drawn = style.for_page(classification.training_curves(CURVES, synthetic=synthetic), dark=dark).to_dict()
        assert drawn["background"] == "transparent"
        ground = 0x15 if dark else 0xFF
        for part, name in (("axis", "labelColor"), ("legend", "labelColor"), ("title", "color")):
            ink = int(drawn["config"][part][name][1:3], 16)
            assert abs(ink - ground) > 150
        assert (drawn["config"]["title"]["subtitleColor"] == style.VERMILION) == synthetic


def test_each_value_of_an_attribute_has_a_colour_and_the_unknown_are_grey() -> None:
    known = ["female", "male", "unknown"] * 40
    counts = {"unknown": 40, "female": 40, "male": 40}
    table = LAID.assign(**{"film.sex": known})
    made = specification(retrieval.image_map(table, method="UMAP", by="film.sex", counts=counts, total=120))
    scale = made["encoding"]["color"]["scale"]
    colours = dict(zip(scale["domain"], scale["range"], strict=True))
    assert colours["unknown (n = 40)"] == style.GREY
    assert len(set(colours.values())) == 3

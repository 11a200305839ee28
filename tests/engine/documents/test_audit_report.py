"""The audit report contains the values it is given and leaves out what was not measured."""

from engine.documents.audit_reports import Duplicate, SliceRow, audit_report
from engine.documents.markdown_reports import BANNER
from engine.metrics.bootstrap import Interval

VALUES = {
    ("sanity_rank_correlation", "network"): Interval(0.12, 0.05, 0.19, 48),
    ("sanity_ssim", "network"): Interval(0.11, 0.04, 0.18, 48),
    ("deletion_auc", "heatmap, called_pneumonia"): Interval(0.31, 0.25, 0.37, 16),
    ("deletion_auc", "random, called_pneumonia"): Interval(0.52, 0.45, 0.6, 16),
    ("deletion_gain", "over random, called_pneumonia"): Interval(0.21, 0.1, 0.3, 16),
    ("deletion_gain_p", "over random, called_pneumonia"): Interval(0.004, float("nan"), float("nan"), 16),
    ("occluded_probability", "as it is, called_pneumonia"): Interval(0.91, 0.9, 0.92, 16),
    ("occluded_probability", "grey, called_pneumonia"): Interval(0.07, 0.06, 0.08, 16),
    ("frame_heat", "all"): Interval(0.41, 0.4, 0.42, 618),
    ("frame_heat", "even map"): Interval(0.36, float("nan"), float("nan"), 618),
    ("probe_auc", "frame pixels"): Interval(0.71, 0.66, 0.76, 618),
    ("probe_correlation", "frame pixels"): Interval(0.41, 0.35, 0.47, 618),
    ("probe_correlation_hidden", "frame pixels"): Interval(0.27, 0.19, 0.34, 618),
    ("stress_auc", "unaltered"): Interval(0.985, 0.97, 0.99, 618),
    ("stress_recall", "unaltered"): Interval(0.97, 0.96, 0.98, 387),
    ("stress_specificity", "unaltered"): Interval(0.88, 0.84, 0.92, 231),
    ("stress_auc", "noisy"): Interval(0.95, 0.93, 0.97, 618),
    ("stress_auc_difference", "noisy"): Interval(-0.035, -0.05, -0.02, 618),
    ("stress_recall", "noisy"): Interval(0.97, 0.96, 0.98, 387),
    ("stress_recall_difference", "noisy"): Interval(0.0, float("nan"), float("nan"), 387),
    ("stress_changed", "noisy"): Interval(0.1, 0.08, 0.12, 618),
    ("neighbour_label_agreement", "failures"): Interval(0.33, 0.2, 0.46, 30),
    ("near_duplicates", "failures"): Interval(0.0333, 0.01, 0.17, 30),
}
OUT_OF_FOLD = {("probe_auc", "frame pixels"): Interval(0.82, 0.8, 0.84, 5232)}
SLICES = [SliceRow("normal A", 40, 33, 12, Interval(0.3, 0.18, 0.45, 40), 0.004, "higher <b>brightness</b> (+1.1 SD)")]
NEAR = [Duplicate("person1_virus_7.jpeg", "person2_virus_8.jpeg", 12, 0.987)]
MANNER = {"facts": {"audit": "run 7"}, "pictures": ["shortcut_probes.png"], "replicates": 1000}


def test_every_value_stands_in_the_report_with_its_interval() -> None:
    verdicts = {"sanity": "passed: it changes"}
    skipped = ["neighbours: image 3 | cannot be read"]
    text = audit_report(VALUES, OUT_OF_FOLD, SLICES, NEAR, verdicts=verdicts, skipped=skipped, synthetic=True, **MANNER)  # type: ignore[arg-type]  # MANNER fits
    assert text.startswith("# Audit report (SYNTHETIC)") and BANNER in text
    for line in (
        "- **Sanity**: passed: it changes.",
        r"- **Not answered**: neighbours: image 3 \| cannot be read",
        "| randomised network | 0.120 | 0.050 to 0.190 | 48 | 0 | 0.110 | 0.040 to 0.180 "
        "| maps depend on the weights |",
        "| called pneumonia | deletion | 0.310 | 0.520 |  | 16 |",
        "| called pneumonia | deletion | random | 0.210 | 0.100 to 0.300 | 16 | 0.004 | better |",
        "| called pneumonia | 0.910 | 0.070 |  | 16 |",
        "A uniform map has 0.360 there.",
        "| all | 0.410 | 0.400 to 0.420 | 618 |",
        "| frame pixels | 0.820 | 0.800 to 0.840 | 5,232 | 0.710 | 0.660 to 0.760 | 618 |",
        "| frame pixels | 0.410 | 0.350 to 0.470 | 0.270 | 0.190 to 0.340 | 618 |",
        "| noisy | 0.950 | 0.930 to 0.970 | -0.035 (-0.050 to -0.020) | 0.970 | 0.960 to 0.980 | +0.000 |  |  |  "
        "| 0.100 | 0.080 to 0.120 | 618 |",
        "| failures | 0.330 | 0.200 to 0.460 | 0.033 | 0.010 to 0.170 | 30 |",
        r"| person1\_virus\_7.jpeg | person2\_virus\_8.jpeg | 12 | 0.987 |",
        r"| normal A | 12 of 40 | 33 | 0.300 | 0.180 to 0.450 | 0.004 | higher \<b\>brightness\</b\> (+1.1 SD) |",
        "from 1,000 replicates",
        "![shortcut probes](shortcut_probes.png)",
    ):
        assert line in text, line


def test_what_was_not_measured_has_no_section() -> None:
    only = {key: value for key, value in VALUES.items() if key[0] == "frame_heat"}
    text = audit_report(only, {}, [], [], verdicts={}, skipped=[], synthetic=False, **MANNER)  # type: ignore[arg-type]
    assert "SYNTHETIC" not in text and "Nothing was answered." in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## In short",
        "## Heat in the outer frame",
        "## Intervals",
        "## Pictures",
    ]

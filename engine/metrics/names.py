"""What each metric is called where people read it, in the order of their tables."""

NAMES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "precision": "Precision (PPV)",
    "recall_at_specificity_90": "Recall at specificity .90",
    "recall_at_specificity_95": "Recall at specificity .95",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "ece_by_chance": "ECE by chance alone",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
    "aurc": "AURC",
    "e_aurc": "Excess AURC",
    "p_at_1": "P@1",
    "p_at_3": "P@3",
    "p_at_5": "P@5",
    "p_at_10": "P@10",
    "map": "Mean average precision",
    "r_precision": "R-precision",
    "vote_auc": "AUC of the neighbours' vote",
    "text_p_at_1": "Words, P@1",
    "text_p_at_10": "Words, P@10",
    "stance_agreement": "Stance agreement",
    "stance_kappa": "Kappa of stance against label",
    "classifier_agreement": "Agreement with the classifier",
    "unsupported": "Unsupported claims",
    "contradictions": "Contradictions",
    "laterality": "Laterality",
    "keyword_alignment": "Keyword alignment",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "chrf": "chrF",
    "format": "Format",
    "words": "Words",
    "repetition": "Repetition",
    "truncated": "Truncated",
}

FURTHER = {
    "threshold": "Threshold",
    "confusion_tp": "True positives",
    "confusion_fn": "False negatives",
    "confusion_fp": "False positives",
    "confusion_tn": "True negatives",
    "selective_accuracy": "Accuracy at a coverage",
    "selective_recall": "Recall at a coverage",
    "selective_specificity": "Specificity at a coverage",
    "referred_low": "Referred from probability",
    "referred_high": "Referred below probability",
    "chance": "By chance",
    "vote_auc_chance": "AUC of the vote, by chance",
    "text_p_at_3": "Words, P@3",
    "text_p_at_5": "Words, P@5",
    "text_chance": "Words, by chance",
    "recall_at_10": "Recall@10 of the index",
    "trustworthiness": "Trustworthiness of the map",
    "train_loss": "Training loss",
    "valid_loss": "Validation loss",
    "valid_auc": "Validation AUC",
    "probe_auc": "AUC of a probe",
    "probe_correlation": "Rank correlation of classifier and probe within a label",
    "deletion_auc": "Deletion AUC",
    "deletion_gain": "Deletion gain",
    "insertion_auc": "Insertion AUC",
    "insertion_gain": "Insertion gain",
    "occluded_probability": "Probability, occluded",
    "sanity_rank_correlation": "Heatmap's rank correlation, weights randomised",
    "sanity_ssim": "Heatmap's SSIM, weights randomised",
    "frame_heat": "Heat in the outer frame",
    "error_rate": "Error rate",
    "neighbour_label_agreement": "Nearest training images with the label",
    "near_duplicates": "Near-duplicates in train",
}
"""The same of what stands in no such table."""

DECIDES = "auc"
"""The metric to tell classifiers apart by, since it needs no threshold."""

CONDITIONS = {"from_train_": "from train", "other_patients_": "other patients"}
"""What a name starts with where the hits were other ones -> how that reads."""
DIFFERENCE = "_difference"
"""What a name ends with where two things' values were subtracted."""
P_VALUE = "_p"
"""What the name of a difference's p-value ends with, in place of DIFFERENCE."""
SCORES = (
    *(
        "auc",
        "average_precision",
        "brier",
        "ece",
        "ece_by_chance",
        "calibration_intercept",
        "calibration_slope",
        "aurc",
        "e_aurc",
        "train_loss",
        "valid_loss",
        "valid_auc",
        "probe_auc",
        "probe_correlation",
    ),
    *(
        "map",
        "vote_auc",
        "vote_auc_chance",
        "trustworthiness",
        "stance_kappa",
        "unsupported",
        "contradictions",
        "words",
    ),
    *("deletion_auc", "deletion_gain", "insertion_auc", "insertion_gain", "sanity_rank_correlation", "sanity_ssim"),
)
"""Metrics that are no share of something counted, and so no percentage."""
SUBGROUP_MEASURES = ("auc", "recall", "specificity")
"""What is measured of each subgroup of films."""
SUBGROUP_LEAST = 10
"""Rows of a class below which nothing is measured of a subgroup: an interval would hold nearly everything."""
SELECTIVE = ("selective_accuracy", "selective_recall", "selective_specificity")
"""What is measured of the images called where the least certain are referred; steps are coverages in percent."""
SELECTIVE_LEAST = 10
"""Called images, of the class asked for, below which nothing is measured of them."""
COVERAGES = (100, 95, 90, 80, 70, 50)
"""Coverages, in percent, that tables show."""
BETWEEN = ": "


def subgroup(name: str, value: str) -> str:
    """The slice that the metrics of films with an attribute's value are stored as: "sex: female"."""
    return f"{name}{BETWEEN}{value}"


def subgroup_of(where: str) -> tuple[str, str] | None:
    """Attribute and value of a subgroup's slice; None of any other slice."""
    name, between, value = where.partition(BETWEEN)
    return (name, value) if between else None


def display_name(metric: str) -> str:
    """How a stored metric's name reads: "from_train_p_at_1" as "P@1, from train"."""
    base = measure(metric)
    said = [read for start, read in CONDITIONS.items() if metric.startswith(start)]
    said += ["difference"] if metric.endswith(DIFFERENCE) else []
    said += ["p of no difference"] if metric.endswith(P_VALUE) else []
    return ", ".join([NAMES.get(base) or FURTHER.get(base) or base.replace("_", " ").capitalize(), *said])


def measure(metric: str) -> str:
    """What is measured, whichever hits and whether one value or a difference: "from_train_p_at_1" is "p_at_1"."""
    for start in CONDITIONS:
        metric = metric.removeprefix(start)
    return metric.removesuffix(DIFFERENCE).removesuffix(P_VALUE)

"""Display names of metrics, in table order, and how a stored metric name is read."""

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
    "ece_by_chance": "ECE expected by chance",
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
    "vote_auc": "Neighbour-vote AUC",
    "text_p_at_1": "Text search P@1",
    "text_p_at_10": "Text search P@10",
    "stance_agreement": "Stance agreement",
    "stance_recall": "Recall of the stance",
    "stance_specificity": "Specificity of the stance",
    "stance_undecided": "Undecided",
    "stance_kappa": "Kappa of stance vs label",
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
    "chance": "Chance P@k",
    "vote_auc_chance": "Neighbour-vote AUC, chance level",
    "text_p_at_3": "Text search P@3",
    "text_p_at_5": "Text search P@5",
    "text_chance": "Text search, chance level",
    "recall_at_10": "Index recall@10",
    "trustworthiness": "Map trustworthiness",
    "train_loss": "Training loss",
    "valid_loss": "Validation loss",
    "valid_auc": "Validation AUC",
    "probe_auc": "Probe AUC",
    "probe_correlation": "Rank correlation of classifier and probe within a label",
    "probe_correlation_hidden": "Rank correlation of classifier and probe within a label, frame hidden",
    "deletion_auc": "Deletion AUC",
    "deletion_gain": "Deletion gain",
    "insertion_auc": "Insertion AUC",
    "insertion_gain": "Insertion gain",
    "occluded_probability": "Probability after occlusion",
    "sanity_rank_correlation": "Heatmap rank correlation, randomised weights",
    "sanity_ssim": "Heatmap SSIM, randomised weights",
    "frame_heat": "Heat in the outer frame",
    "error_rate": "Error rate",
    "neighbour_label_agreement": "Nearest training images with the same label",
    "near_duplicates": "Near-duplicates in train",
    "changed": "Calls changed",
    "call_changes": "Stresses that change the call",
}
"""Display names of metrics that are in no standard table."""

DECIDES = "auc"
"""The primary metric for comparing classifiers, because it needs no threshold."""

CONDITIONS = {"from_train_": "from train", "other_patients_": "other patients", "stress_": "under stress"}
"""Prefix of a metric -> the condition under which it was measured, in words."""
DIFFERENCE = "_difference"
"""Suffix of a metric that is the difference of two values."""
P_VALUE = "_p"
"""Suffix of the p-value of a difference, in place of DIFFERENCE."""
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
        "probe_correlation_hidden",
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
"""Metrics that are not a proportion and are therefore not shown as a percentage."""
FRAME_ONLY, FRAME_HIDDEN, WHOLE = "classifier, frame only", "classifier, frame hidden", "classifier, whole image"
"""What an audit shows the classifier itself, as slices of probe_auc."""
SEEN_WHOLE, SEEN_UNFRAMED = "whole image", "frame hidden"
"""What the classifier saw when its output was correlated with a probe's score."""
FRAME_PROBES = ("frame pixels", "frame features")
"""The probes that see only the frame."""
SEES_LUNG = (FRAME_HIDDEN, WHOLE)
"""The slices of probe_auc that are no shortcuts."""
SUBGROUP_MEASURES = ("auc", "recall", "specificity")
"""Metrics computed for each subgroup."""
SUBGROUP_LEAST = 10
"""Minimum rows of a class for a subgroup metric: with fewer, the interval would cover nearly everything."""
SELECTIVE = ("selective_accuracy", "selective_recall", "selective_specificity")
"""What is measured of the images called where the least certain are referred; steps are coverages in percent."""
SELECTIVE_LEAST = 10
"""Called images, of the class asked for, below which nothing is measured of them."""
COVERAGES = (100, 95, 90, 80, 70, 50)
"""Coverages, in percent, that tables show."""
BETWEEN = ": "


def subgroup(name: str, value: str) -> str:
    """Slice name under which a subgroup's metrics are stored, such as "sex: female"."""
    return f"{name}{BETWEEN}{value}"


def subgroup_of(where: str) -> tuple[str, str] | None:
    """Attribute and value of a subgroup's slice; None for any other slice."""
    name, between, value = where.partition(BETWEEN)
    return (name, value) if between else None


def display_name(metric: str) -> str:
    """Display name of a stored metric: "from_train_p_at_1" is "P@1, from train"."""
    base = measure(metric)
    qualifiers = [words for prefix, words in CONDITIONS.items() if metric.startswith(prefix)]
    qualifiers += ["difference"] if metric.endswith(DIFFERENCE) else []
    qualifiers += ["p-value for no difference"] if metric.endswith(P_VALUE) else []
    return ", ".join([NAMES.get(base) or FURTHER.get(base) or base.replace("_", " ").capitalize(), *qualifiers])


def measure(metric: str) -> str:
    """The metric without its condition and its difference or p-value suffix: "from_train_p_at_1" is "p_at_1"."""
    for prefix in CONDITIONS:
        metric = metric.removeprefix(prefix)
    return metric.removesuffix(DIFFERENCE).removesuffix(P_VALUE)

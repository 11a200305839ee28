"""The audit as a Markdown report: values, and how to interpret them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.audit.faithfulness import MODES, ORDERS
from engine.audit.verdicts import SIMILAR, Values, constant_maps, sanity_verdict, sign
from engine.documents.markdown_reports import INTERVALS, Section, document
from engine.metrics.bootstrap import Interval
from engine.metrics.names import DIFFERENCE, P_VALUE
from engine.retrieval.duplicates import BITS, NEAR
from engine.tables import markdown_table, number, plain, span

GROUPS = {
    "called_pneumonia": "called pneumonia",
    "called_normal": "called normal",
    "false_alarms": "false positives (FP)",
    "misses": "false negatives (FN)",
}
SANITY = {
    "head": "randomised head",
    "network": "randomised network",
    "another image": "another image's map",
}
SANITY_TEXT = f"""
Weights are replaced by random ones and the maps compared with the trained classifier's (Adebayo et al. 2018). Maps that
stay similar show edges, not what was learned. If the whole interval of the rank correlation with the maps of the
randomised network is below {SIMILAR}, the maps depend on the weights; this does not show that they are right. Images
with a constant map have no rank correlation and are left out. The similarity of two different images' maps is given
for comparison. With fewer than 50 patients, intervals are Student's t, clustered by patient.
"""
FAITHFULNESS_TEXT = """
Pixels are deleted (set to the image's mean grey) or inserted (into a blurred copy) in 20 steps, hottest first, and the
area under the curve of the probability is computed (Petsiuk et al. 2018). Deleting what matters makes the probability
fall early: a small area. Inserting it makes the probability rise early: a large area. The random order has patches as
large as the heatmap's cells; the centre order starts at the centre of every image. A gain above 0 favours the heatmap;
gains are computed image by image. Heatmaps show evidence for pneumonia, so images called pneumonia are the fair
test. With fewer than 50 patients, intervals of gains are Student's t, clustered by patient. p: adjusted by Holm's
method for the gains of a group.
"""
ENDS = ("as it is", "grey", "blurred")
ENDS_TEXT = """
The ends of the curves: the image with nothing deleted, with everything deleted, and before anything is inserted. If an
image without content already has a probability of .5 or more, the curve is uninformative.
"""
FRAME_TEXT = """
The share of each map's heat in a border 10 % wide on each side (36 % of the area), which includes markers, time stamps
and film edges but also parts of the lungs, such as the lateral lung and the costophrenic angles.
A uniform map has {even} there. Heat in the border may lie on lung; a share below that of a uniform map does not rule
out bias.
"""
SHORTCUT_TEXT = """
A probe is a small model that sees only one property of the image; none is tuned. Out of fold: the mean over
patient-grouped folds of the images that probes are fitted on, which are the training images or, for imported
predictions, the other labelled images. An interval above .5 means that a classifier could use this property instead of
disease. Frame: a border 10 % wide on each side (36 % of the area, with parts of the lungs), the inside made grey, as
pixels and as features of a frozen ImageNet network: it may separate the classes by disease seen there. Image
size: width and height. File size: bytes, which also depend on the image's content. Image statistics: mean, standard
deviation and percentiles of all grey levels, which disease also changes. Classifier: the audited one itself, with
everything but the frame, or the frame, made grey.
"""
ASSOCIATION_TEXT = """
Rank correlation (Spearman) of the classifier's output with a probe's score among images of one label, averaged over the
two labels weighted by their number of images: whether the two are associated within a label. Equalised odds (Hardt et
al. 2016) asks for none. It does not show that the classifier uses what the probe sees, because severity can move both:
severe disease changes the lungs and also the frame, the patient's position or the overall brightness. Frame hidden: the
same for the classifier's output when the frame is grey, so that it cannot use it. This reference is the association
that remains without the frame. A larger value with the frame suggests use, but is no proof: the frame contains parts of
the lungs, and no classifier was trained on images without it. Without a reference, as for the other probes,
association and use cannot be told apart. A correlation near 0 does not rule out use. Intervals are not adjusted for the
number of probes.
"""
STRESS_TEXT = """
The same classifier at the same threshold on copies of the images, each altered by a fixed amount after it was resized
to the classifier's input. Differences compare each image with its own copy, and their intervals resample patients.
Calls changed: the share of images called differently than unaltered. Intervals are not adjusted for the number of
stresses. Of many images a random sample is altered; n counts it.
"""
NEIGHBOURS_TEXT = f"""
Nearest neighbours by the classifier's own features (cosine). Near-duplicates are images whose {BITS}-bit perceptual
hashes differ in at most {NEAR} bits. Label agreement: the share of the five nearest training images with the image's
own label; if it is low among failures, the classifier places them among the other class.
"""
SLICES_TEXT = """
Images of one label are clustered by appearance (k-means on frozen ImageNet features), independently of the classifier's
errors. Intervals are Wilson's, with patients as trials. p: Fisher's exact test that the slice has a higher error rate
than the rest of its label, on counts divided by their design effect, since images of one patient are not independent
(Rao & Scott 1992); adjusted by Holm's method for the number of slices.
"""


@dataclass(frozen=True)
class SliceRow:
    """A slice as the report shows it."""

    name: str
    images: int
    patients: int
    failures: int
    rate: Interval
    p_value: float
    description: str


@dataclass(frozen=True)
class Duplicate:
    """An evaluated image and its near-duplicate in training, by file name. hash_distance: in bits."""

    image: str
    training: str
    hash_distance: int
    similarity: float


def audit_report(
    values: Values,
    out_of_fold: Values,
    slices: Sequence[SliceRow],
    duplicates: Sequence[Duplicate],
    *,
    verdicts: Mapping[str, str],
    skipped: Sequence[str],
    facts: Mapping[str, object],
    pictures: Sequence[str],
    replicates: int,
    synthetic: bool,
) -> str:
    """The report as Markdown.

    values, out_of_fold: intervals by (metric name, slice). verdicts: see engine.audit.verdicts. skipped: reasons for
    questions without an answer. facts: about the run. pictures: image files beside the report.
    """
    answers = [f"- **{plain(name.capitalize())}**: {plain(sentence)}." for name, sentence in verdicts.items()]
    answers += [f"- **Not answered**: {plain(reason)}" for reason in skipped]
    sections = [
        Section("In short", ["\n".join(answers) or "Nothing was answered."]),
        Section("Do the heatmaps change with the weights?", [SANITY_TEXT.strip(), _sanity(values)]),
        Section(
            "Do the heatmaps show what matters?",
            [FAITHFULNESS_TEXT.strip(), _areas(values), _gains(values), _ends(values)],
        ),
        Section("Heat in the outer frame", [_frame_text(values), _frame(values)]),
        Section("Shortcuts", [SHORTCUT_TEXT.strip(), _probes(values, out_of_fold)]),
        Section("Is the output associated with the shortcuts?", [ASSOCIATION_TEXT.strip(), _associations(values)]),
        Section("Does the classifier withstand altered images?", [STRESS_TEXT.strip(), _stresses(values)]),
        Section("Neighbours in training", [NEIGHBOURS_TEXT.strip(), _neighbours(values), _duplicates(duplicates)]),
        Section("Slices", [SLICES_TEXT.strip(), _slices(slices)]),
        Section("Intervals", [INTERVALS.format(replicates=replicates, unit="patients")]),
    ]
    kept = [Section(one.title, [block for block in one.blocks if block]) for one in sections]
    answered = [one for one in kept if len(one.blocks) > 1 or one.title in ("In short", "Intervals")]
    return document("Audit", answered, facts=facts, pictures=pictures, synthetic=synthetic)


def _sanity(values: Values) -> str:
    rows = []
    for where, name in SANITY.items():
        found = values.get(("sanity_rank_correlation", where))
        if found is not None:
            similarity = values.get(("sanity_ssim", where))
            verdict = sanity_verdict(found) if where == "network" else ""
            left_out = str(constant_maps(values, where))
            rows.append((name, *_cells(found), left_out, *_cells(similarity)[:2], verdict))
    measured = ("rank correlation", "95 % interval", "n", "left out", "SSIM", "95 % interval")
    heads = ("compared with", *measured, "verdict")
    return markdown_table(heads, rows) if rows else ""


def _areas(values: Values) -> str:
    rows = []
    for group, name in GROUPS.items():
        for mode in MODES:
            found = [values.get((f"{mode}_auc", f"{order}, {group}")) for order in ORDERS]
            if found[0] is not None:
                rows.append((name, mode, *(_cells(one)[0] for one in found), f"{found[0].n:,}"))
    return markdown_table(("images", "area under", *(f"by {order}" for order in ORDERS), "n"), rows) if rows else ""


def _gains(values: Values) -> str:
    rows = []
    for group, name in GROUPS.items():
        for mode in MODES:
            for order in ORDERS[1:]:
                gain = values.get((f"{mode}_gain", f"over {order}, {group}"))
                p = values.get((f"{mode}_gain{P_VALUE}", f"over {order}, {group}"))
                if gain is not None:
                    shown = number(p.value) if p else ""
                    rows.append((name, mode, order, *_cells(gain), shown, sign(gain, p)))
    heads = ("images", "by", "heatmap against", "gain", "95 % interval", "n", "p", "heatmap is")
    return markdown_table(heads, rows) if rows else ""


def _ends(values: Values) -> str:
    rows = []
    for group, name in GROUPS.items():
        found = [values.get(("occluded_probability", f"{end}, {group}")) for end in ENDS]
        if found[0] is not None:
            rows.append((name, *(_cells(one)[0] for one in found), f"{found[0].n:,}"))
    table = markdown_table(("images", *(f"probability {end}" for end in ENDS), "n"), rows)
    return f"{ENDS_TEXT.strip()}\n\n{table}" if rows else ""


def _frame_text(values: Values) -> str:
    even = values.get(("frame_heat", "even map"))
    return FRAME_TEXT.format(even=number(even.value)).strip() if even else ""


def _frame(values: Values) -> str:
    found = {where: interval for (name, where), interval in values.items() if name == "frame_heat"}
    order = [where for where in ("all", "TP", "FN", "FP", "TN") if where in found]
    rows = [(where, *_cells(found[where])) for where in order]
    return markdown_table(("images", "share of heat", "95 % interval", "n"), rows) if rows else ""


def _probes(values: Values, out_of_fold: Values) -> str:
    names = sorted({where for name, where in (*values, *out_of_fold) if name == "probe_auc"})
    rows = [
        (name, *_cells(out_of_fold.get(("probe_auc", name))), *_cells(values.get(("probe_auc", name))))
        for name in names
    ]
    heads = ("probe", "AUC out of fold", "95 % interval", "n", "AUC on evaluation data", "95 % interval", "n")
    return markdown_table(heads, rows) if rows else ""


def _associations(values: Values) -> str:
    found = {where: related for (name, where), related in values.items() if name == "probe_correlation"}
    hidden = {name: values.get(("probe_correlation_hidden", name)) for name in found}
    rows = [(name, *_cells(found[name])[:2], *_cells(hidden[name])[:2], f"{found[name].n:,}") for name in sorted(found)]
    heads = ("probe", "rank correlation", "95 % interval", "frame hidden", "95 % interval", "n")
    return markdown_table(heads, rows) if rows else ""


def _stresses(values: Values) -> str:
    tested = [where for name, where in values if name == "stress_auc"]
    changed = {where: values[name, where] for name, where in values if name == "stress_changed"}
    order = sorted(tested, key=lambda where: (-changed[where].value, where) if where in changed else (-math.inf, ""))
    rows = []
    for where in order:
        cells = [where]
        for name in ("auc", "recall", "specificity"):
            found, apart = (values.get((f"stress_{name}{suffix}", where)) for suffix in ("", DIFFERENCE))
            cells += [*_cells(found)[:2], "" if apart is None else _signed(apart)]
        rows.append((*cells, *_cells(changed.get(where))))
    measured = [head for name in ("AUC", "recall", "specificity") for head in (name, "95 % interval", "difference")]
    heads = ("images", *measured, "calls changed", "95 % interval", "n")
    return markdown_table(heads, rows) if rows else ""


def _signed(found: Interval) -> str:
    """A difference with its interval."""
    if not math.isfinite(found.value):
        return number(found.value)
    span = f" ({found.low:+z.3f} to {found.high:+z.3f})" if math.isfinite(found.low) else ""
    return f"{found.value:+z.3f}{span}"


def _neighbours(values: Values) -> str:
    rows = []
    for where in ("all", "failures", "correct"):
        agreement, copies = (values.get((name, where)) for name in ("neighbour_label_agreement", "near_duplicates"))
        if agreement is not None:
            rows.append((where, *_cells(agreement)[:2], *_cells(copies)))
    heads = ("images", "label agreement", "95 % interval", "share with a near-duplicate", "95 % interval", "n")
    return markdown_table(heads, rows) if rows else ""


def _duplicates(duplicates: Sequence[Duplicate]) -> str:
    rows = [(plain(d.image), plain(d.training), str(d.hash_distance), number(d.similarity)) for d in duplicates]
    return markdown_table(("image", "near-duplicate in training", "bits apart", "cosine"), rows) if rows else ""


def _slices(slices: Sequence[SliceRow]) -> str:
    rows = [
        (
            *(plain(one.name), f"{one.failures} of {one.images}", f"{one.patients}"),
            *(number(one.rate.value), span(one.rate), number(one.p_value), plain(one.description)),
        )
        for one in slices
    ]
    heads = ("slice", "failures", "patients", "error rate", "95 % interval", "p", "what is different")
    return markdown_table(heads, rows) if rows else ""


def _cells(interval: Interval | None) -> tuple[str, str, str]:
    """Value, interval and n as text; empty if it was not measured."""
    return ("", "", "") if interval is None else (number(interval.value), span(interval), f"{interval.n:,}")

"""What a reader is told of an audit: a Markdown report, its values beside what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.audit.faithfulness import MODES, ORDERS
from engine.audit.verdicts import SIMILAR, Values, sanity_verdict, sign
from engine.markdown_reports import INTERVALS, Section, document
from engine.metrics.bootstrap import Interval
from engine.retrieval.duplicates import BITS, NEAR
from engine.tables import markdown_table, number, plain, span

GROUPS = {
    "called_pneumonia": "called pneumonia",
    "called_normal": "called normal",
    "false_alarms": "false alarms (FP)",
    "misses": "misses (FN)",
}
SANITY = {
    "head": "new weights in the head",
    "network": "new weights everywhere",
    "another image": "another image's map",
}
SANITY_TEXT = f"""
The weights are drawn anew and the maps compared with the trained classifier's (Adebayo et al. 2018). Maps that stay
alike show edges, not what was learned. The check is passed where the rank correlation under new weights everywhere lies
below {SIMILAR} with its whole interval. How alike the maps of two different images are stands beside it.
"""
FAITHFULNESS_TEXT = """
Pixels are deleted (made the image's mean grey) or inserted (into a blurred copy) in 20 steps, hottest first, and the
area under the probability's curve is taken (Petsiuk et al. 2018). Deleting what matters makes the probability fall
early: a small area. Inserting it makes it rise early: a large one. The random order has pieces as large as the
heatmap's cells; the centre order starts in the middle of every image alike. A gain above 0 favours the heatmap and is
measured image by image. Heatmaps are evidence for pneumonia, so images called pneumonia are the fair test.
"""
ENDS = ("as it is", "grey", "blurred")
ENDS_TEXT = """
Where the curves end: the image with nothing deleted, with everything deleted, and before anything is inserted. Where an
image without content is called pneumonia too, the curves have little room, and so little to say.
"""
FRAME_TEXT = """
The share of each map's heat in the outer 10 % of the image, where little lung is and markers, time stamps and film
edges are. An even map has {even} there.
"""
SHORTCUT_TEXT = """
A probe sees one thing alone; nothing in it is tuned. Out of fold: the mean over patient-grouped folds of the images
that probes are fitted on: those the classifier learned from or, of imported predictions, the other labelled images. An
interval above .5 means that a classifier could use the same thing in place of disease. Frame: the outer 10 % with the
inside made grey, as pixels and as features of a frozen ImageNet network. Image size: width and height. File size:
bytes, which follow what is in the picture too. Image statistics: mean, standard deviation and percentiles of the whole
image's greys, which disease changes too. Classifier: the audited one itself, with all but the frame, or the frame,
made grey.
"""
RELIANCE_TEXT = """
Rank correlation (Spearman) of the classifier's output with a probe's score among images of one label, averaged over the
two labels by their number of images. A classifier that makes no use of what a probe sees has 0 (equalised odds; Hardt
et al. 2016). The reverse does not follow: severe disease can change what a probe sees, such as how a patient lies or
how bright the whole image is. Intervals are not adjusted for the number of probes.
"""
NEIGHBOURS_TEXT = f"""
Nearest by the classifier's own features (cosine). Near-duplicates are images whose {BITS}-bit perceptual hashes differ
in {NEAR} bits at most. Label agreement: the share of the five nearest training images that carry the image's own label;
where failures agree little, the classifier sees them among the other class.
"""
SLICES_TEXT = """
Images of one label are clustered by their looks (k-means on frozen ImageNet features), which know nothing of the
classifier's errors. Intervals are Wilson's, with patients in the place of images. p: Fisher's exact test that more
of its images fail than of the rest of its label's, of counts divided by their design effect, since images of one
patient are not independent (Rao & Scott 1992); corrected by Holm for the number of slices.
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
    """A judged image and its near-duplicate in training, by the names of their files."""

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
    """values, out_of_fold: intervals by metric name and slice. pictures: files beside the report."""
    said = [f"- **{plain(name.capitalize())}**: {plain(sentence)}." for name, sentence in verdicts.items()]
    said += [f"- **Not answered**: {plain(reason)}" for reason in skipped]
    sections = [
        Section("In short", ["\n".join(said) or "Nothing was answered."]),
        Section("Do the heatmaps change with the weights?", [SANITY_TEXT.strip(), _sanity(values)]),
        Section(
            "Do the heatmaps show what matters?",
            [FAITHFULNESS_TEXT.strip(), _areas(values), _gains(values), _ends(values)],
        ),
        Section("Heat in the outer frame", [_frame_text(values), _frame(values)]),
        Section("Shortcuts", [SHORTCUT_TEXT.strip(), _probes(values, out_of_fold)]),
        Section("Does the classifier follow the shortcuts?", [RELIANCE_TEXT.strip(), _reliance(values)]),
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
            rows.append((name, *_cells(found), *_cells(similarity)[:2], verdict))
    heads = ("compared with", "rank correlation", "95 % interval", "n", "SSIM", "95 % interval", "verdict")
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
                if gain is not None:
                    rows.append((name, mode, order, *_cells(gain), sign(gain)))
    heads = ("images", "by", "heatmap against", "gain", "95 % interval", "n", "heatmap is")
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
    heads = ("probe", "AUC out of fold", "95 % interval", "n", "AUC judged", "95 % interval", "n")
    return markdown_table(heads, rows) if rows else ""


def _reliance(values: Values) -> str:
    found = {where: related for (name, where), related in values.items() if name == "probe_correlation"}
    rows = [(name, *_cells(found[name])) for name in sorted(found)]
    return markdown_table(("probe", "rank correlation", "95 % interval", "n"), rows) if rows else ""


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
    """Value, interval and n; empty where it was not measured."""
    return ("", "", "") if interval is None else (number(interval.value), span(interval), f"{interval.n:,}")

"""Markdown reports on classification, report generation and retrieval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.metrics.classification import ECE_BINS
from engine.metrics.evaluation import BY_PATIENT, UNSCALED, Measured
from engine.metrics.names import (
    COVERAGES,
    DIFFERENCE,
    NAMES,
    P_VALUE,
    SELECTIVE,
    SUBGROUP_MEASURES,
    display_name,
    measure,
    subgroup_of,
)
from engine.metrics.prevalence import PREVALENCES, predictive_values
from engine.metrics.retrieval import VOTERS
from engine.retrieval.text.written_queries import QUERIES
from engine.tables import markdown_table, number, p_value, plain, span

BANNER = "> **SYNTHETIC**: drawn phantoms, not radiographs. The values only show that the software works."
CONTENT = (
    *("stance_agreement", "stance_recall", "stance_specificity", "stance_undecided", "stance_kappa"),
    *("classifier_agreement", "unsupported", "contradictions", "laterality"),
    *("keyword_alignment", "bleu", "rouge_l", "chrf"),
)
FORM = ("format", "words", "repetition", "truncated")
INTERVALS = (
    "Intervals are 95 % percentile bootstrap intervals (Efron & Tibshirani 1993) from {replicates:,} replicates that "
    "resample whole {unit} with replacement, because images of one patient are not independent; for a proportion of 0 "
    "or 1 they are Wilson intervals (1927), with {unit} as trials. They describe the sampling variation over {unit}, "
    "not over training runs or hospitals."
)
CLASSIFICATION = f"""
- **AUC**: probability that a random pneumonia image scores above a random normal one; ties count half. Needs no
  threshold.
- **Average precision**: sum of precision times increase in recall over the distinct scores, without interpolation.
- **Recall (sensitivity)**: TP / (TP + FN). **Specificity**: TN / (TN + FP). **Precision**: TP / (TP + FP).
- **Recall at specificity .90**: the best recall of any threshold whose specificity is at least .90. The threshold is
  chosen on the same images, so this is a point of the ROC curve and not an expected result.
- **F1**: 2 TP / (2 TP + FP + FN). **Accuracy**: (TP + TN) / n. An image is called positive at or above the threshold.
- **Brier score**: mean squared difference between probability and label; 0 is perfect, a constant .5 gives .25.
- **ECE**: mean over images of |share of pneumonia - mean probability| in {ECE_BINS} bins of equal width (Guo et al.
  2017). It is never below 0 and resampling biases it, so it has no interval; **ECE expected by chance** is the ECE of
  perfectly calibrated probabilities on this many images, with its range.
- **Calibration intercept** and **slope**: calibration in the large (0 is best; below 0 probabilities are too high) and
  the slope of the log odds against the logit of the probability (1 is best; below 1 probabilities are too extreme);
  intervals are clustered by patient. Temperature scaling sets the scale but no intercept. Both are undefined if a
  probability is exactly 0 or 1 (rounded), because its log odds are infinite.
- **PPV** and **NPV** at another prevalence follow from recall and specificity by Bayes' theorem, assuming that neither
  changes with prevalence; intervals are over images (Mercaldo et al. 2007).
- **By coverage**: accuracy, recall and specificity of the called images when those closest to the threshold, on the
  log-odds scale, are referred; equally close ones together. **AURC**: the mean over all images of the error rate among
  images at least as far from the threshold (Geifman et al. 2019); 0 is best, and a random order gives the error rate.
  **Excess AURC**: AURC minus that of the order in which all errors are referred first.
- **By subgroup**: images that share an attribute such as sex, age group or view. Each difference compares a subgroup
  with all other images for which the attribute is known; of two subgroups, only the first shows it. p is the p-value
  for no difference, from Student's t over the patients of the smaller group and the larger of two standard errors
  (that of the replicates and that of two groups with equal values), adjusted for multiple comparisons (Holm 1979).
- **By patient**: a patient's probability is the mean over the patient's images; the patient is positive if any of them
  is labelled pneumonia.
- n is the number of images behind a value: pneumonia for recall, normal for specificity, called positive for precision;
  by patient, of patients. Byte-identical copies count as often as the data set contains them.
"""
REPORTS = """
- **Keyword alignment**: share of the keywords found in a report that fit the image's label. It counts words and ignores
  negation: 'no pneumonia' counts as a keyword of pneumonia.
- **Stance agreement**: 1 if the report's stance on pneumonia, with negation understood, matches the image's label; else
  0, including reports that are uncertain or take no stance.
- **Recall, specificity of the stance**: share of the reports on pneumonias that say pneumonia, and of those on normal
  images that say normal. **Undecided**: share of all reports that are uncertain or take no stance.
- **Kappa**: Cohen's kappa of stance vs label; uncertain and no stance are separate classes that no label has.
- **Agreement with the classifier**: as stance agreement, with the classifier's call in place of the label.
- **Unsupported claims**: number of claims in a report without support: pneumonia or a sign of it on an image labelled
  normal, a finding that the reference report lacks, and measurements, prior studies or history that its author was
  not given.
- **Contradictions**: findings that a report both asserts and denies in the same location. **Laterality**: share of the
  claims of pneumonia and its signs with a side whose side matches the heatmap.
- **Format**: share of the elements required by the prompt that the answer contains. **Repetition**: share of four-word
  sequences that occurred before. **Truncated**: share of reports that end abruptly.
- **BLEU, ROUGE-L, chrF**: similarity to the reference report, if reports.csv has one (sacrebleu, rouge-score).
- Differences between two strategies are over the images described by both, with paired intervals.
- n is the number of reports with the score. None of these scores shows that a report is fit for patient care.
"""
RETRIEVAL = f"""
- **P@k**: mean over queries of the share of the k most similar images that have the query's label. Every image is the
  query once and is never its own hit (leave-one-out). Similarity is the cosine of the embeddings.
- **Among other patients**: the same, excluding all images of the query's patient. **Against train**: queries are the
  test images, hits come from train and val.
- **mAP**: mean over queries of the average precision of the ranked candidates. **R-precision**: share of the first R
  candidates that have the query's label, where R is the number of candidates with that label.
- **Neighbour-vote AUC**: area under the ROC curve of the share of pneumonia among the {VOTERS} nearest labelled
  images. Each cause is evaluated against all normal queries. The chance level is below one half when the query is
  excluded from its own hits, because the remaining images contain fewer with its label; the column shows it.
- **Text search**: {len(QUERIES)} written queries (normal, pneumonia, cause, zone) against the test images. An
  image matches by its label and cause, or by a zone that holds more of the classifier's evidence than in four fifths of
  the pneumonias, which no reader has confirmed. Intervals resample the queries; n is their number.
- **Chance**: the expected P@k of hits drawn at random from the candidates.
- n is the number of queries. Byte-identical images count as one. 95 % intervals resample the queries' patients; the
  searched collection is fixed.
"""
RETRIEVED = {
    "": "Test images among themselves",
    "other_patients_": "Among other patients",
    "from_train_": "Against train",
    "text_": "Text search",
}
"""Prefix of the metrics -> section title."""


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and images, each a block of Markdown."""

    title: str
    blocks: Sequence[str]


THRESHOLDS = {
    "recall97": "the threshold with an out-of-fold recall of .97",
    "youden": "the out-of-fold Youden threshold",
    "half": "threshold .5, not chosen on data",
}
"""Slices with values at each operating point; the current one is also reported first."""
BESIDE = {
    BY_PATIENT: "By patient (mean over each patient's images)",
    UNSCALED: "Calibration before temperature scaling",
}
"""Slices with alternative analyses of all images."""
FIXED = "fixed at .5, not chosen on data"
"""Where the threshold of operating point half comes from."""
OOF_NOTE = (
    "Fitted thresholds were chosen on these same predictions, so values at them are optimistic; a threshold of .5 is "
    "fixed, not chosen on data. All values are optimistic for a recipe that keeps the epoch with the best result on "
    "the held-out patients."
)


def classification_report(
    by_split: Mapping[str, Sequence[Measured]],
    *,
    facts: Mapping[str, object],
    pictures: Sequence[str],
    replicates: int,
    synthetic: bool,
) -> str:
    """by_split: the values of "test", "oof" and so on. facts: how they were made. pictures: image files next to
    the report."""
    titles = {"oof": "Out-of-fold (train and val, each image scored by the member that did not train on it)"}
    notes = {"oof": OOF_NOTE}
    sections = []
    for split, values in by_split.items():
        blocks = [notes[split]] if split in notes else []
        blocks += [_at_threshold(values, "all"), _confusion(values, "all")]
        for where, title in THRESHOLDS.items():
            if any(value.slice == where for value in values):
                blocks += [f"### At {title}", _at_threshold(values, where), _confusion(values, where)]
        if predictive := _predictive(values):
            blocks += ["### Predictive values by prevalence, at the run's threshold", predictive]
        for where, title in BESIDE.items():
            if any(value.slice == where for value in values):
                blocks += [f"### {title}", _at_threshold(values, where)]
        causes = causes_of(values)
        if causes:
            rows = [(plain(value.slice), *_cells(value)) for value in values if value.slice in causes]
            blocks += ["### By cause, each against all normal images", _table(("cause",), rows)]
        if covered := coverage_table(values):
            blocks += ["### By coverage, with the images closest to the threshold referred", covered]
        if by_subgroup := subgroup_table(values):
            blocks += ["### By subgroup, at the run's threshold", by_subgroup]
        sections.append(Section(titles.get(split, f"Split: {split}"), blocks))
    method = INTERVALS.format(replicates=replicates, unit="patients")
    sections.append(Section("Definitions", [CLASSIFICATION.strip(), method]))
    return document("Classification", sections, facts=facts, pictures=pictures, synthetic=synthetic)


def causes_of(values: Sequence[Measured]) -> list[str]:
    """The slices that are causes of pneumonia."""
    slices = {value.slice for value in values} - {"all", *THRESHOLDS, *BESIDE}
    return sorted(where for where in slices if subgroup_of(where) is None)


def subgroup_table(values: Sequence[Measured]) -> str:
    """A row for each subgroup with its metrics and their difference from the other images; empty if there are none."""
    found = {(value.slice, value.name): value.interval for value in values if subgroup_of(value.slice)}
    groups = sorted({where for where, _ in found})
    shown = [name for name in SUBGROUP_MEASURES if any((where, name) in found for where in groups)]
    rows = []
    for where in groups:
        cells = [plain(where)]
        for name in shown:
            value, apart, p = (found.get((where, f"{name}{end}")) for end in ("", DIFFERENCE, P_VALUE))
            cells += [f"{number(value.value)} ({span(value)})" if value else "", f"{value.n:,}" if value else ""]
            cells.append(f"{number(apart.value)} ({span(apart)}), {p_value(p.value)}" if apart and p else "")
        rows.append(tuple(cells))
    heads = [head for name in shown for head in (NAMES[name], "n", "difference from the others")]
    return markdown_table(("subgroup", *heads), rows) if rows else ""


def coverage_table(values: Sequence[Measured]) -> str:
    """A line for each coverage of COVERAGES: how many images are called and referred, and the accuracy, recall and
    specificity of those called; empty where none was measured."""
    found = {(value.name, value.step): value.interval for value in values}
    rows = []
    for percent in COVERAGES:
        shares = [found.get((name, percent)) for name in SELECTIVE]
        called, referred = shares[0], found.get(("referred_low", percent))
        if called is None or referred is None:
            return ""
        cells = (f"{number(one.value)} ({span(one)})" if one and math.isfinite(one.value) else "" for one in shares)
        rows.append((f"{percent} %", f"{called.n:,}", f"{referred.n:,}", *cells))
    heads = [NAMES[name.removeprefix("selective_")] for name in SELECTIVE]
    return markdown_table(("coverage", "called", "referred", *heads), rows)


def generation_report(
    values: Sequence[Measured],
    *,
    examples: Sequence[tuple[str, str]],
    facts: Mapping[str, object],
    pictures: Sequence[str],
    replicates: int,
    synthetic: bool,
) -> str:
    """values: report scores under slice "model / strategy". examples: (caption, report text)."""
    known = {(value.slice, value.name): value for value in values}
    sections = [Section("Use", ["Research use only: these reports must not enter a patient's record."])]
    for title, names in (("Content", CONTENT), ("Form", FORM)):
        columns = [name for name in names if any(value.name == name for value in values)]
        rows = [
            (plain(where), *(_mean(known.get((where, name))) for name in columns))
            for where in sorted({value.slice for value in values if value.name in columns})
        ]
        if rows:
            table = markdown_table(("model / strategy (n)", *map(display_name, columns)), _counted(rows, values))
            sections.append(Section(title, [table]))
    apart = [value for value in values if value.name.endswith(DIFFERENCE) and not value.name.startswith("words")]
    if apart:
        significant = [value for value in apart if value.interval.low > 0 or value.interval.high < 0]
        rows = [(plain(v.slice), display_name(measure(v.name)), *_cells(v)[1:]) for v in significant]
        heads = ("model / pair", "score", "difference", "95 % interval", "n")
        tables = [markdown_table(heads, rows)] if rows else []
        unknown = sum(not math.isfinite(value.interval.low) for value in apart)
        lacking = f" and is unknown for {unknown:,}" if unknown else ""
        rest = (
            f"Of {len(apart):,} paired differences, the interval contains 0 for "
            f"{len(apart) - len(significant) - unknown:,}{lacking}. They are not adjusted for multiple "
            "comparisons: by chance alone, one interval in twenty excludes 0."
        )
        sections.append(Section("Strategies that differ", [*tables, rest]))
    if examples:
        blocks = [block for caption, text in examples for block in (f"**{plain(caption)}**", quoted(text))]
        sections.append(Section("Examples", blocks))
    method = INTERVALS.format(replicates=replicates, unit="patients")
    sections.append(Section("Definitions", [REPORTS.strip(), method]))
    return document("Report generation", sections, facts=facts, pictures=pictures, synthetic=synthetic)


def _mean(value: Measured | None) -> str:
    """Mean with interval in one cell; without the interval if it has no width."""
    if value is None:
        return ""
    interval = value.interval
    wide = interval.high - interval.low > 1e-9
    return f"{number(interval.value)} ({span(interval)})" if wide else number(interval.value)


def _counted(rows: Sequence[tuple[str, ...]], values: Sequence[Measured]) -> list[tuple[str, ...]]:
    """The rows, with the number of reports after each slice."""
    most: dict[str, int] = {}
    for value in values:
        where = plain(value.slice)
        most[where] = max(most.get(where, 0), value.interval.n)
    return [(f"{where} ({most[where]:,})", *cells) for where, *cells in rows]


def retrieval_report(
    values: Sequence[Measured],
    *,
    facts: Mapping[str, object],
    pictures: Sequence[str],
    replicates: int,
    synthetic: bool,
) -> str:
    """values: retrieval metrics under the embedder's name as slice, or "NAME / class or cause", by the prefixes of
    RETRIEVED."""
    sections = [Section(title, [table]) for prefix, title in RETRIEVED.items() if (table := _retrieved(values, prefix))]
    sections.append(
        Section("Definitions", [RETRIEVAL.strip(), INTERVALS.format(replicates=replicates, unit="patients")])
    )
    return document("Retrieval", sections, facts=facts, pictures=pictures, synthetic=synthetic)


def document(
    title: str, sections: Sequence[Section], *, facts: Mapping[str, object], pictures: Sequence[str], synthetic: bool
) -> str:
    """The report's text: title, banner if synthetic, facts, sections, images."""
    parts = [f"# {title} report{' (SYNTHETIC)' if synthetic else ''}"]
    if synthetic:
        parts.append(BANNER)
    parts.append(markdown_table(("item", "value"), [(plain(name), plain(value)) for name, value in facts.items()]))
    for section in sections:
        parts += [f"## {section.title}", *section.blocks]
    if pictures:
        parts += ["## Pictures", *(f"![{name.removesuffix('.png').replace('_', ' ')}]({name})" for name in pictures)]
    return "\n\n".join(parts) + "\n"


def quoted(text: str) -> str:
    """A generated text as a Markdown quotation with its markup escaped."""
    return "\n".join(f"> {plain(line)}  " if line.strip() else ">" for line in text.strip().splitlines())


def _cells(value: Measured) -> tuple[str, str, str, str]:
    interval = value.interval
    return display_name(value.name), number(interval.value), span(interval), f"{interval.n:,}"


def _retrieved(values: Sequence[Measured], prefix: str) -> str:
    """A row for each embedder, class and cause, a column for each metric; empty if there are none."""
    start = f"{prefix}p_at_"
    ks = sorted({int(value.name.removeprefix(start)) for value in values if value.name.startswith(start)})
    found = {(value.slice, value.name): value for value in values}
    names = [*(f"p_at_{k}" for k in ks), "map", "r_precision", "vote_auc", "vote_auc_chance"]
    rows = []
    for where in sorted({value.slice for value in values if value.name.startswith(start)}):
        cells = [_mean(found.get((where, f"{prefix}{name}"))) for name in names]
        chance = found[where, f"{prefix}chance"].interval
        rows.append((plain(where), *cells, number(chance.value), f"{chance.n:,}"))
    heads = (
        "embedder",
        *(f"P@{k}" for k in ks),
        "mAP",
        "R-precision",
        "neighbour-vote AUC",
        "its chance level",
        "chance P@k",
        "n",
    )
    return markdown_table(heads, rows) if rows else ""


def _table(first: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return markdown_table((*first, "metric", "value", "95 % interval", "n"), rows)


def _at_threshold(values: Sequence[Measured], where: str) -> str:
    here = {value.name: value for value in values if value.slice == where}
    return _table((), [_cells(here[name]) for name in NAMES if name in here])


def _predictive(values: Sequence[Measured]) -> str:
    """PPV and NPV at other prevalences; empty without images of both labels."""
    cells = ("tp", "fn", "fp", "tn")
    here = {value.name: value.interval.value for value in values if value.slice == "all"}
    counts = {cell: int(here.get(f"confusion_{cell}", 0)) for cell in cells}
    found = [one for share in PREVALENCES if (one := predictive_values(share, **counts))]
    rows = [(f"{one.prevalence:.0%}", *(f"{number(i.value)} ({span(i)})" for i in (one.ppv, one.npv))) for one in found]
    return markdown_table(("prevalence", "PPV (95 %)", "NPV (95 %)"), rows) if rows else ""


def _confusion(values: Sequence[Measured], where: str) -> str:
    here = {value.name: value.interval.value for value in values if value.slice == where}
    tp, fp, tn, fn = (f"{here.get(f'confusion_{cell}', float('nan')):,.0f}" for cell in ("tp", "fp", "tn", "fn"))
    header = f"threshold {number(here.get('threshold'))}"
    rows = [("truth: normal", tn, fp), ("truth: pneumonia", fn, tp)]
    return markdown_table((header, "called normal", "called pneumonia"), rows)

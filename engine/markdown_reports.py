"""What a reader is told of a task: Markdown reports for classification, generated reports and retrieval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from engine.tables import markdown_table, number, p_value, plain, span

BANNER = "> **SYNTHETIC**: drawn phantoms, not radiographs. The values show that the program works, and nothing else."
SAID = (
    *("stance_agreement", "stance_kappa", "classifier_agreement", "unsupported", "contradictions", "laterality"),
    *("keyword_alignment", "bleu", "rouge_l", "chrf"),
)
FORM = ("format", "words", "repetition", "truncated")
INTERVALS = (
    "Intervals are 95 % percentile bootstrap intervals (Efron & Tibshirani 1993) over {replicates:,} replicates that "
    "draw whole {unit} with replacement, since images of one patient are not independent; of a share that is 0 or 1 "
    "they are Wilson's (1927), with {unit} for trials. They say how the value varies with the {unit} at hand, not with "
    "another training run or another hospital."
)
CLASSIFICATION = """
- **AUC**: chance that a random pneumonia image scores above a random normal one, ties counted half. Needs no threshold.
- **Average precision**: sum of precision times gain in recall over the distinct scores, without interpolation.
- **Recall (sensitivity)**: TP / (TP + FN). **Specificity**: TN / (TN + FP). **Precision**: TP / (TP + FP).
- **Recall at specificity .90**: the best recall of any threshold whose specificity is at least .90, chosen on the very
  images it is measured on: a point of the ROC curve, not a promise.
- **F1**: 2 TP / (2 TP + FP + FN). **Accuracy**: (TP + TN) / n. An image is positive from the threshold up.
- **Brier score**: mean squared difference of probability and label; 0 is perfect, .25 is a constant .5.
- **ECE**: mean over images of |share of pneumonia - mean probability| in 15 bins of equal width (Guo et al. 2017). It
  is never below 0 and resampling shifts it, so it has no interval; **ECE by chance alone** is what probabilities that
  are exactly right would have among as many images, and its range.
- **Calibration intercept** and **slope**: calibration in the large (0 is best, below it probabilities are too high) and
  the slope of the log odds against the logit of the probability (1 is best, below it they are too extreme); intervals
  are clustered by patient. Temperature scaling sets a scale and no intercept.
- **PPV** and **NPV** at another prevalence follow from recall and specificity by Bayes, taken to be the same there;
  intervals are over images (Mercaldo et al. 2007).
- **By coverage**: accuracy, recall and specificity of the images that are called where those nearest to the threshold
  on the log-odds scale are referred, equally near ones together. **AURC**: the mean over all images of the error rate
  among images at least as far from the threshold (Geifman et al. 2019); 0 is best, and in random order it is the error
  rate. **Excess AURC**: AURC less that of the order in which all errors are referred first.
- **By subgroup**: images that share an attribute (sex, age group, view and the like). A difference is from the value of
  all other images of which the attribute is known, beside the first of two or each of several; p is of no difference,
  by the larger of the replicates' standard error and that of two groups of one value (Student's t over the patients of
  the smaller), corrected for all that were looked at (Holm 1979).
- **By patient**: a patient's probability is the mean of its images', and it has pneumonia where one of them has.
- n is the number of images that a value rests on: pneumonia for recall, normal for specificity, called positive for
  precision; by patient, of patients. Byte-identical copies count as often as the data set holds them.
"""
REPORTS = """
- **Keyword alignment**: share of the keywords found in a report that suit the image's label. It looks at words and not
  at what is said about them: 'no pneumonia' counts as a keyword of pneumonia.
- **Stance agreement**: 1 where what the report says about pneumonia, negation understood, is the image's label; else 0,
  also where it is uncertain or says nothing.
- **Kappa**: Cohen's, of stance against label; uncertain and none are classes of their own that no label has.
- **Agreement with the classifier**: as stance agreement, against the classifier's call.
- **Unsupported claims**: how many claims of a report rest on nothing its writer was shown: pneumonia or a sign of it
  on an image labelled normal, a finding that the reference report lacks, measurements, earlier studies, history.
- **Contradictions**: findings that a report both asserts and denies in one place. **Laterality**: share of the sided
  claims of pneumonia and its signs that lie where the heatmap does.
- **Format**: share of the elements that the prompt demanded which the answer holds. **Repetition**: share of the runs
  of four words that came before. **Truncated**: share of reports that break off.
- **BLEU, ROUGE-L, chrF**: likeness to the reference report, where reports.csv has one (sacrebleu, rouge-score).
- Differences of two strategies are over the images that both describe, and their intervals are the pairs'.
- n is the number of reports that have the score. None of these scores says that a report is fit for a patient.
"""
RETRIEVAL = """
- **P@k**: mean over the queries of the share of the k most similar images that carry the query's label. Every image is
  the query once and is never its own hit (leave one out). Similarity is the cosine of the embeddings.
- **Among other patients**: the same, where images of the query's patient are not searched either. **Against train**:
  the queries are the test images, the hits those of train and val.
- **mAP**: mean over the queries of the average precision of all candidates in order. **R-precision**: the share that
  carries the query's label among its first R candidates, R being how many carry it at all.
- **AUC of the vote**: area under the ROC curve of the share of pneumonia among the 10 nearest labelled images. A cause
  is told from all normal queries. By chance it is below one half where the query is left out of its own hits, as the
  rest holds fewer of its label; the column says by how much.
- **Found by words**: 40 written queries (normal, pneumonia, cause, zone) against the test images. An image answers by
  its label and cause; a zone is where more of the classifier's evidence lies than in four fifths of the pneumonias,
  which no reader has confirmed. Intervals draw the queries, n is their number.
- **Chance**: the expected P@k of hits that are drawn at random from the candidates.
- n is the number of queries. Byte-identical images are one image. Intervals are 95 % and draw the queries' patients;
  the collection that is searched stays as it is.
"""
RETRIEVED = {
    "": "Test images among themselves",
    "other_patients_": "Among other patients",
    "from_train_": "Against train",
    "text_": "Found by words",
}
"""Prefix of the metrics -> how hits were found."""


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and pictures, each a block of Markdown."""

    title: str
    blocks: Sequence[str]


THRESHOLDS = {
    "recall97": "the threshold for a recall of .97 out of fold",
    "youden": "Youden's threshold out of fold",
    "half": "a probability of one half",
}
"""Slices of values at thresholds of which one, in force, is told of first."""
BESIDE = {
    BY_PATIENT: "By patient, the mean of each patient's images",
    UNSCALED: "Calibration before temperature scaling",
}
"""Slices of all images that are looked at in another way."""
OOF_NOTE = (
    "The thresholds were chosen on these very predictions, which flatters the values at a threshold; and so does a "
    "recipe that keeps the epoch which did best on the patients held out."
)


def classification_report(
    by_split: Mapping[str, Sequence[Measured]],
    *,
    facts: Mapping[str, object],
    pictures: Sequence[str],
    replicates: int,
    synthetic: bool,
) -> str:
    """by_split: the values of "test", "oof" and so on. facts: what made them. pictures: files beside the report."""
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
            blocks += ["### Predictive values by prevalence, at the threshold in force", predictive]
        for where, title in BESIDE.items():
            if any(value.slice == where for value in values):
                blocks += [f"### {title}", _at_threshold(values, where)]
        causes = causes_of(values)
        if causes:
            rows = [(plain(value.slice), *_cells(value)) for value in values if value.slice in causes]
            blocks += ["### By cause, each against all normal images", _table(("cause",), rows)]
        if covered := coverage_table(values):
            blocks += ["### By coverage, the images nearest to the threshold referred first", covered]
        if parted := subgroup_table(values):
            blocks += ["### By subgroup, at the threshold in force", parted]
        sections.append(Section(titles.get(split, f"Split: {split}"), blocks))
    method = INTERVALS.format(replicates=replicates, unit="patients")
    sections.append(Section("Definitions", [CLASSIFICATION.strip(), method]))
    return document("Classification", sections, facts=facts, pictures=pictures, synthetic=synthetic)


def causes_of(values: Sequence[Measured]) -> list[str]:
    """The slices that are causes of pneumonia."""
    slices = {value.slice for value in values} - {"all", *THRESHOLDS, *BESIDE}
    return sorted(where for where in slices if subgroup_of(where) is None)


def subgroup_table(values: Sequence[Measured]) -> str:
    """A line for each subgroup: what was measured of it, and how far that is from the other images' value; empty where
    nothing was."""
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
    sections = [Section("Use", ["Research use only: no report here may reach a patient's record."])]
    for title, names in (("What the reports say", SAID), ("Their form", FORM)):
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
        told = [value for value in apart if value.interval.low > 0 or value.interval.high < 0]
        rows = [(plain(v.slice), display_name(measure(v.name)), *_cells(v)[1:]) for v in told]
        heads = ("model / pair", "score", "difference", "95 % interval", "n")
        tables = [markdown_table(heads, rows)] if rows else []
        unknown = sum(not math.isfinite(value.interval.low) for value in apart)
        lacking = f", and of {unknown:,} it is not known" if unknown else ""
        rest = (
            f"Of {len(apart):,} paired differences the interval of {len(apart) - len(told) - unknown:,} holds "
            f"0{lacking}. They are not corrected for their number: by chance alone one in twenty leaves out 0."
        )
        sections.append(Section("Strategies that differ", [*tables, rest]))
    if examples:
        blocks = [block for caption, text in examples for block in (f"**{plain(caption)}**", quoted(text))]
        sections.append(Section("Examples", blocks))
    method = INTERVALS.format(replicates=replicates, unit="patients")
    sections.append(Section("Definitions", [REPORTS.strip(), method]))
    return document("Report generation", sections, facts=facts, pictures=pictures, synthetic=synthetic)


def _mean(value: Measured | None) -> str:
    """Mean with interval, in one cell; without an interval where it has no width."""
    if value is None:
        return ""
    interval = value.interval
    wide = interval.high - interval.low > 1e-9
    return f"{number(interval.value)} ({span(interval)})" if wide else number(interval.value)


def _counted(rows: Sequence[tuple[str, ...]], values: Sequence[Measured]) -> list[tuple[str, ...]]:
    """The rows, the number of reports told after each slice."""
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
    """The report's text: title, banner where synthetic, what made it, sections, pictures."""
    parts = [f"# {title} report{' (SYNTHETIC)' if synthetic else ''}"]
    if synthetic:
        parts.append(BANNER)
    parts.append(markdown_table(("what", "value"), [(plain(name), plain(value)) for name, value in facts.items()]))
    for section in sections:
        parts += [f"## {section.title}", *section.blocks]
    if pictures:
        parts += ["## Pictures", *(f"![{name.removesuffix('.png').replace('_', ' ')}]({name})" for name in pictures)]
    return "\n\n".join(parts) + "\n"


def quoted(text: str) -> str:
    """A generated text as a Markdown quotation that obeys none of its marks."""
    return "\n".join(f"> {plain(line)}  " if line.strip() else ">" for line in text.strip().splitlines())


def _cells(value: Measured) -> tuple[str, str, str, str]:
    interval = value.interval
    return display_name(value.name), number(interval.value), span(interval), f"{interval.n:,}"


def _retrieved(values: Sequence[Measured], prefix: str) -> str:
    """A line for each embedder, class and cause, a column for each measure; empty where there is none."""
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
        "AUC of the vote",
        "by chance",
        "P@k by chance",
        "n",
    )
    return markdown_table(heads, rows) if rows else ""


def _table(first: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return markdown_table((*first, "metric", "value", "95 % interval", "n"), rows)


def _at_threshold(values: Sequence[Measured], where: str) -> str:
    here = {value.name: value for value in values if value.slice == where}
    return _table((), [_cells(here[name]) for name in NAMES if name in here])


def _predictive(values: Sequence[Measured]) -> str:
    """PPV and NPV where pneumonia is rarer or more common than here; empty without images of both labels."""
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

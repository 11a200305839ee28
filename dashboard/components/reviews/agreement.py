"""Agreement of readers with each other, with the label and with the model, and the images they disagree on."""

import hashlib
from collections.abc import Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import address, filter_words, filters, grid, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset
from db.queries import cases, reviews
from db.queries.cases import Question
from db.queries.reviews import FirstVerdict
from db.review_rules import CALLS, VERDICTS
from engine.metrics.bootstrap import Interval
from engine.metrics.readers import GroupAgreement, Judgement, PairAgreement, ReaderStudy, ReferenceAgreement

READERS = 8
"""Maximum number of readers compared; readers with fewer reviews are left out, and the page says so."""
SIZE = 24
COUNTED = {"blind": "Blind only", "all": "All"}
KINDS = {"readers": "Between readers", "label": "Reader vs label", "model": "Reader vs model"}
MEANING = (
    "Kappa is agreement beyond chance: 1 is perfect, 0 is chance. 95 % intervals are bootstrapped over patients. Only "
    "a reader's first verdict on an image counts, because label, prediction and other verdicts are shown after it. "
    "Between readers, uncertain and unreadable count as verdicts; against label and model they are excluded, and their "
    "number is shown."
)

SELECTED = (
    "Includes verdicts that were not blind. Statistics of a queue selected by outcome, probability or slice describe "
    "that selection and do not generalise to other images."
)


def show(dataset: Dataset, question: Question, view: filters.View) -> None:
    """Draw the tables and the images with differing verdicts."""
    counted = address.choice("Verdicts", COUNTED, name="counted", default="blind")
    with resources.reading() as session:
        every = reviews.verdicts(session, question, blind=False)
        rows = every if counted == "all" else reviews.verdicts(session, question, blind=True)
    if not rows:
        reviewed = "reviewed blind" if every else "reviewed"
        more = f" {_not_blind(len(every))}" if every else ""
        st.info(f"None of these images has been {reviewed} yet.{more}")
        return
    judgements = [_judgement(row, question.threshold) for row in rows]
    study = ReaderStudy(judgements, readers=READERS)
    everybody = len({row.reviewer for row in rows})
    reviewed_images = wording.count(len({row.image_id for row in rows}), "image")
    st.markdown(f"{reviewed_images} reviewed by {wording.count(everybody, 'reader')}. {filter_words.described(view)}")
    if everybody > READERS:
        st.caption(f"Only the {READERS} readers with the most reviews are shown.")
    st.caption(MEANING)
    if counted == "all":
        st.warning(SELECTED, icon=":material/visibility:")
    elif len(rows) < len(every):
        st.caption(_not_blind(len(every) - len(rows)))
    digest = hashlib.sha256(repr(judgements).encode()).hexdigest()
    pairs, together, by_label, by_model = _measured(digest, study)
    st.header("Between readers")
    _among(pairs, together)
    st.header("Against label and model")
    _against(by_label, by_model)
    _differing(dataset, study, view)


def _not_blind(number: int) -> str:
    return f"{wording.count(number, 'verdict')} not known to be blind: choose All to include."


@st.cache_data(show_spinner="Resampling the verdicts", max_entries=20)
def _measured(
    digest: str, _study: ReaderStudy
) -> tuple[list[PairAgreement], GroupAgreement, list[ReferenceAgreement], list[ReferenceAgreement]]:
    """All statistics; digest identifies the study."""
    return _study.pairs(), _study.together(), _study.against_label(), _study.against_model()


def _judgement(row: FirstVerdict, threshold: float | None) -> Judgement:
    known = row.probability is not None and threshold is not None
    return Judgement(
        image=row.image_id,
        patient=row.patient_key,
        reader=row.reviewer,
        verdict=row.verdict,
        call=CALLS.get(row.verdict),
        label=row.label,
        model=int((row.probability or 0.0) >= (threshold or 0.0)) if known else None,
    )


def _among(pairs: Sequence[PairAgreement], together: GroupAgreement) -> None:
    if not pairs:
        st.caption("Agreement needs two readers who reviewed the same image.")
        return
    rows: list[list[Cell | str]] = [
        [f"{pair.first} and {pair.second}", f"{pair.kappa.n:,}", _share(pair.agreement), _kappa(pair.kappa)]
        for pair in pairs
    ]
    linked.table(
        ["Readers", ">Images", ">Agreement", ">Cohen's kappa"],
        rows,
        key="pairs",
        caption="Cohen's kappa of each pair of readers",
    )
    overall: list[list[Cell | str]] = [
        [f"Fleiss' kappa, images with {together.verdicts} verdicts each", *_overall(together.fleiss)],
        ["Krippendorff's alpha, images with at least two verdicts", *_overall(together.alpha)],
    ]
    linked.table(
        ["All readers", ">Images", ">Value (95 %)"], overall, key="together", caption="Agreement of all readers"
    )


def _against(by_label: Sequence[ReferenceAgreement], by_model: Sequence[ReferenceAgreement]) -> None:
    rows: list[list[Cell | str]] = [
        [*_agreed(one), _share(one.sensitivity), _share(one.specificity), *_left_out(one, "label")] for one in by_label
    ]
    heads = ["Reader vs label", ">Images", ">Kappa (95 %)", ">Agreement"]
    heads += [">Reader's recall (sensitivity)", ">Reader's specificity", ">Uncertain or unreadable"]
    linked.table(heads, rows, key="against_label", caption="Each reader against the label")
    rows = [[*_agreed(one), *_left_out(one, "prediction")] for one in by_model]
    heads = ["Reader vs model", *heads[1:4], heads[-1]]
    linked.table(heads, rows, key="against_model", caption="Each reader against the model")


def _agreed(one: ReferenceAgreement) -> tuple[str, str, str, Cell]:
    return one.reader, *_overall(one.kappa), _share(one.agreement)


def _left_out(one: ReferenceAgreement, what: str) -> list[Cell]:
    return [Cell(f"{one.undecided:,}", help=f"{one.unknown:,} more without a {what}")]


def _differing(dataset: Dataset, study: ReaderStudy, view: filters.View) -> None:
    """Images with differing verdicts, as cards with the verdict of each reader."""
    st.header("Disagreements")
    kind = address.choice("Disagreement", KINDS, name="differ", default="readers") or "readers"
    found = study.apart(kind)
    page = address.page(len(found), SIZE)
    wanted = found[(page - 1) * SIZE : page * SIZE]
    with resources.reading() as session:
        question = view.question
        known = cases.several(session, wanted, run_id=question.run_id, threshold=question.threshold)
    if not wanted:
        st.caption("None.")
        return
    st.markdown(f"{wording.count(len(found), 'image')}.")
    drawn = []
    for case in (known[image] for image in wanted if image in known):
        given = study.verdicts(case.id).items()
        lines = [f"{VERDICTS.get(verdict, verdict)}: {reader}" for reader, verdict in given]
        drawn.append(grid.Thumbnail(case, lines=lines))
    grid.show(dataset, drawn, key="differing", width=180)
    address.pages(len(found), SIZE)


def _kappa(interval: Interval | None) -> str:
    if interval is None or not wording.known(interval.value):
        return wording.UNKNOWN
    has_width = interval.low != interval.high  # the bootstrap gives none if (nearly) all verdicts agree
    within = wording.interval("stance_kappa", interval.low, interval.high) if has_width else ""
    return f"{interval.value:.3f} ({within})" if within else f"{interval.value:.3f}"


def _overall(interval: Interval | None) -> tuple[str, str]:
    return (f"{interval.n:,}" if interval else "0"), _kappa(interval)


def _share(interval: Interval | None) -> Cell:
    if interval is None or not wording.known(interval.value):
        return Cell(wording.UNKNOWN, tone="muted")
    within = wording.interval("recall", interval.low, interval.high)
    value = wording.percent(interval.value)
    return Cell(f"{value} ({within})" if within else value, help=f"n = {interval.n:,}")

"""The query in a page's URL, in words."""

from collections.abc import Mapping, Sequence

from dashboard.components import address, filters, wording
from dashboard.components.filters import ATTRIBUTE, HEADINGS, VALUES
from db.queries.cases import Question


def described(found: filters.View) -> str:
    """The predictions and threshold behind the outcomes, in words."""
    if found.run is None:
        return "No predictions yet."
    kind = filters.kind(found.run)
    if found.question.threshold is None:
        return f"{kind} of run {found.run.id}; its threshold is {wording.UNKNOWN}."
    at = wording.percent(found.question.threshold).replace(" ", wording.UNBROKEN)
    source = f"{kind} of run {found.run.id}, threshold {at}."
    others = filters.others_named(found)
    differing = f" Only cases called differently by {others}." if others else ""
    stressed, own = found.question.changed_under, own_threshold(found.question)
    stress = f" Only cases whose call{own} changes when the image is {stressed[1]}." if stressed else ""
    described_slice = f" Slice {found.part.name}: {wording.plain(found.part.description)}." if found.part else ""
    return f"{source}{differing}{stress}{described_slice} {not_applied(found)}".strip()


def unknown(known: Mapping[str, Sequence[str]]) -> str:
    """A sentence naming the parameters in the URL whose value is not among the known ones; empty if all are."""
    found = {name: value for name, values in known.items() if (value := address.get(name)) and value not in values}
    named = " and ".join(f"{name} {wording.plain(value[:40])}" for name, value in found.items())
    return f"**Ignored**, as unknown for these reports: {named}." if named else ""


def own_threshold(question: Question) -> str:
    """ " at the run's own threshold of 50.0 %" where the question is at another one, else empty: what an audit found is
    at the run's own."""
    if question.own_threshold is None or question.threshold == question.own_threshold:
        return ""
    return f" at the run's own threshold of {wording.percent(question.own_threshold).replace(' ', wording.UNBROKEN)}"


def not_applied(found: filters.View, *, but: str = "") -> str:
    """A sentence naming the filters in the URL that do not apply, as their value is unknown or of another run's audit;
    empty if all do. but: a parameter that is not checked."""
    applied: dict[str, object] = {
        "slice": found.part,
        "stress": found.question.changed_under,
        "outliers": found.question.outlier_of,
        "against": found.against or found.alike,
    }
    ignored = [name for name, kept in applied.items() if address.get(name) and not kept]
    ignored += [name for name, known in VALUES.items() if name != but and (address.get(name) or "") not in {"", *known}]
    if address.get("threshold") and address.share("threshold", -1.0) < 0.0:
        ignored.append("threshold")
    if not ignored:
        return ""
    named = " and ".join(
        f"{HEADINGS.get(name, name)} {wording.plain((address.get(name) or '')[:40])}" for name in ignored
    )
    return f"**Ignored**, as unknown for these predictions: {named}."


def in_words() -> str:
    """The query in the URL, in one line."""
    given = {name: address.get(name) for name in filters.named_in_url()}
    if other := given["against"]:
        given["against"] = "no other run" if filters.compared_with() else f"run {other}"
    words = [
        f"{HEADINGS.get(name, name.removeprefix(ATTRIBUTE))} {VALUES.get(name, {}).get(value, value)}"
        for name, value in given.items()
        if value
    ]
    return ", ".join(words).lower() or "all cases"

"""Similar cases to a dataset image or an uploaded image, and cases that match a text."""

from dataclasses import replace

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame, panels, wording
from dashboard.components.search import by_picture, by_words, neighbours
from db.queries import cases, indexes
from engine.retrieval.embedders import reads_text

COUNTS = {"6": "6", "12": "12", "24": "24", "48": "48"}
WAYS = {"upload": "Upload an image", "image": "Dataset image", "words": "Text"}

dataset = frame.open_dataset()
view = filters.view(dataset)
with resources.reading() as session:
    built = {index.embedder: index for index in indexes.current(session, dataset.id)}

st.title("Search")
if not built:
    panels.missing(
        "This dataset has no vector index yet, so only notes and reports can be searched. To build one, run:",
        panels.chain(dataset, "embed"),
    )

way = address.choice("Search by", WAYS, name="by", default="upload", drops=["index"]) if built else "words"
asked = {name: index for name, index in built.items() if way != "words" or reads_text(name)}

with st.sidebar:
    k = int(address.choice("Number of hits", COUNTS, name="k", default="12") or 12)
    splits, labels = filters.offered(dataset)
    split = filters.choose("Hits from split", splits, name="split")
    label = filters.choose("Hits with label", labels, name="label")
    with resources.reading() as session:
        causes = {name: name.capitalize() for name in cases.causes(session, dataset.id)}
    cause = address.menu("Hits with cause", causes, name="cause") if causes else None
    outcomes = filters.OUTCOMES if view.judged else {}
    outcome = address.menu("Hits with outcome", outcomes, name="outcome") if outcomes else None
    filters.choose_attributes(dataset, "hits with")
    if way != "words":
        by_picture.other_patients()
    index = next(iter(asked.values()), None)
    if index and (way != "words" or address.get("in") != "texts"):
        first, named = index.embedder, {name: name for name in asked}
        index = asked[address.menu("Embedder", named, name="index", default=first, always=True) or first]
        address.pin(index=index.embedder)

films = view.question.attributes
question = cases.Question(dataset.id, split=split, label=label, cause=cause, attributes=films)
if outcome and view.judged:
    run_id, threshold = view.judged
    question = replace(question, run_id=run_id, threshold=threshold, outcome=outcome)


def find() -> None:
    """Draw the query, image or text, next to or above its hits."""
    query, answer = (st.container(), st.container()) if way == "words" else st.columns([1, 3], gap="large")
    found = None
    with query, panels.guarded("The search"):
        if index is None or way == "words":
            found = by_words.ask(dataset, index, k, question)
        else:
            found = (by_picture.image if way == "image" else by_picture.upload)(dataset, view, index, k, question)
    with answer, panels.guarded("The hits"):
        if found is not None:
            if way != "words":
                st.caption(
                    f"Searched index {found.index.embedder} (revision {found.index.revision[:8]}, "
                    f"{wording.count(found.index.count, 'image')}, run {found.index.run_id}): "
                    f"{neighbours.search_method(found.index)}."
                )
            neighbours.show(
                dataset,
                found,
                view,
                key="hits",
                wanted=k,
                onwards=address.onwards(q=None),
                back=address.back_to("search"),
                narrowed=question != cases.Question(dataset.id, split=split),
            )
            if found.afterwards is not None:
                found.afterwards()


# Another image changes only this part of the page, so nothing else is rerun.
(st.fragment(find) if way == "upload" else find)()

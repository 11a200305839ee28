"""How a search is asked: by an uploaded image, by an image of the dataset, by words."""

import hashlib
from collections.abc import Collection

import streamlit as st

from dashboard import pictures, resources
from dashboard.components import address, filters, grid, panels, reporting, similar, wording
from dashboard.components.similar import Hit
from db.models import Dataset, VectorIndex
from db.queries import cases, runs, search
from db.queries.cases import Question
from engine.errors import InputError
from engine.images import decode
from engine.reporting.matching import matcher
from engine.retrieval.embedders import Embedder, spec

MEGABYTES = 20
OFFERED = 24
"""Images to pick from."""
PATIENTS = {"others": "Leave out the query's patient"}


def other_patients() -> bool:
    """Whether the query's own patient is left out, as the URL says; draws the choice."""
    return address.choice("Patients", PATIENTS, name="patients") == "others"


def _allowed(question: Question) -> Collection[int] | None:
    """The images that hits may be; None for all."""
    if question == Question(question.dataset_id):
        return None
    with resources.reading() as session:
        return cases.ids(session, question)


def _barred(image_id: int) -> Collection[int]:
    """The query's own image, or all of its patient where the URL asks for that."""
    if address.get("patients") not in PATIENTS:
        return [image_id]
    with resources.reading() as session:
        return cases.of_patient(session, image_id)


def upload(dataset: Dataset, index: VectorIndex, k: int, question: Question) -> list[Hit] | None:
    """Ask with a new picture; it is read in memory and never stored. Raises InputError where it is no picture."""
    file = st.file_uploader(
        f"A chest radiograph (JPEG, PNG, TIFF, DICOM), at most {MEGABYTES} MB; it stays in memory and is not stored",
        max_upload_size=MEGABYTES,
    )
    if file is None:
        return None
    data = file.getvalue()
    if len(data) > MEGABYTES * 2**20:
        raise InputError(f"file {file.name} has {wording.size(len(data))}, the limit is {MEGABYTES} MB")
    decoded = decode(data)
    height, width = decoded.pixels.shape
    st.image(decoded.pixels, width="stretch", alt="The uploaded radiograph")
    st.caption(f"{wording.plain(file.name)}, {decoded.source_format}, {width} x {height} pixels")
    opened = similar.opened(index)
    vectors = opened.placed(model(index).embed_images(decoded.pixels[None]))
    if opened.strange(float(opened.search(vectors, 1).similarities[0, 0])):
        st.warning(
            "This picture is less like any image of the collection than 99 % of its images are like their nearest: it "
            "may be no chest radiograph, and the hits may mean nothing.",
            icon=":material/help:",
        )
    with resources.reading() as session:
        same = search.by_content(session, dataset.id, hashlib.sha256(data).hexdigest())
    if same is not None:
        st.caption(f"This picture is image {same.id} of the dataset; it is left out of the hits.")
    exclude = _barred(same.id) if same else None
    return similar.to_vectors(index, vectors, k, allowed=_allowed(question), exclude=exclude)


def image(dataset: Dataset, index: VectorIndex, k: int, question: Question) -> list[Hit] | None:
    """Ask with an image that is in the index; needs no model."""
    typed = address.words("Image number", name="image", placeholder="1")
    if not typed:
        st.caption(
            "Pick one, or give the number that stands in a case's facts. The filters at the left narrow the choice."
        )
        with resources.reading() as session:
            offered = cases.page(session, filters.view(dataset).question, limit=OFFERED, offset=0)
        grid.show(dataset, offered, key="pick", width=90, searches=True)
        return None
    with resources.reading() as session:
        case = cases.one(session, address.number("image") or 0)
    if case is None or case.dataset_id != dataset.id:
        raise InputError(f"dataset '{dataset.name}' has no image '{typed}'; the number stands in a case's facts")
    st.image(pictures.image_url(case.sha256), width="stretch", alt=grid.alt(case))
    st.caption(f"Image {case.id}: {grid.name(case)}, {case.split or 'no split'}")
    return similar.to_image(index, case.id, k, allowed=_allowed(question), exclude=_barred(case.id))


def words(dataset: Dataset, index: VectorIndex, k: int, question: Question) -> list[Hit] | None:
    """Ask with words: the index where its embedder reads text, else the text of the reports."""
    text = address.words("Words", name="q", placeholder="opacity in the right lower zone")
    if not text:
        return None
    if spec(index.embedder).reads_text:
        return similar.to_vectors(index, model(index).embed_texts([text]), k, allowed=_allowed(question))
    with resources.reading() as session:
        found = search.reports(session, question, text, limit=k, passes=matcher(text))
        written = search.any_report(session, dataset.id)
    if not written:
        panels.missing("No report has been written yet:", f"python -m jobs report --dataset {dataset.name}")
        return None
    st.caption(f"Answered by full-text search in the reports, best first: embedder {index.embedder} reads no words.")
    st.markdown(
        f"{wording.count(len(found), 'image')} whose reports hold any of these words{', or more' * (len(found) == k)} "
        "and do not deny what the words name. "
        "Images without a report cannot be found by words."
    )
    reporting.found(dataset, found, filters.view(dataset))
    return None


def model(index: VectorIndex) -> Embedder:
    """The embedder that made the index. Raises InputError where it has other weights now."""
    with resources.reading() as session:
        run = runs.find(session, index.run_id)
        trained = (run.config if run else {}).get("train_run")
        checkpoint = runs.artifact(session, int(trained), "checkpoint") if trained else None
    loaded = resources.embedder(index.embedder, checkpoint.path if checkpoint else None)
    if loaded.revision != index.revision:
        raise InputError(
            f"index '{index.embedder}' was made with weights {index.revision[:8]}, but {loaded.revision[:8]} are here; "
            "build it again with: python -m jobs embed"
        )
    return loaded

"""How a search is asked by a picture: an uploaded or pasted one, or an image of the dataset."""

import hashlib
from collections.abc import Collection

import streamlit as st

from dashboard import pictures, resources
from dashboard.components import address, classified, filters, grid, similar, wording
from dashboard.components.similar import Found
from db.models import Dataset, VectorIndex
from db.queries import cases, runs, search
from db.queries.cases import Question
from engine.errors import InputError
from engine.images import decode
from engine.retrieval.embedders import Embedder

MEGABYTES = 20
OFFERED = 24
"""Images to pick from."""
PASTED = "pasted"
"""Where the session keeps a pasted picture, which its widget gives away only once."""
PATIENTS = {"others": "Leave out the query's patient"}


def other_patients() -> bool:
    """Whether the query's own patient is left out, as the URL says; draws the choice."""
    return address.choice("Patients", PATIENTS, name="patients") == "others"


def allowed(question: Question) -> Collection[int] | None:
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


def upload(dataset: Dataset, index: VectorIndex, k: int, question: Question) -> Found | None:
    """Ask with a new picture; it is read in memory and never stored. Raises InputError where it is no picture."""
    given = _given()
    if given is None:
        return None
    name, data = given
    if len(data) > MEGABYTES * 2**20:
        raise InputError(f"file {name} has {wording.size(len(data))}, the limit is {MEGABYTES} MB")
    decoded = decode(data)
    height, width = decoded.pixels.shape
    st.image(decoded.pixels, width="stretch", alt="The uploaded radiograph")
    st.caption(f"{wording.plain(name)}, {decoded.source_format}, {width} x {height} pixels")
    opened = similar.opened(index)
    reading = classified.read(dataset, decoded.pixels, model(index))
    vectors = opened.placed(reading.vectors)
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
    hits = similar.to_vectors(index, vectors, k, allowed=allowed(question), exclude=exclude)
    return Found(hits, reading.zones)


def _given() -> tuple[str, bytes] | None:
    """The picture that was uploaded, or else pasted, with its name."""
    file = st.file_uploader(
        f"A chest radiograph (JPEG, PNG, TIFF, DICOM), at most {MEGABYTES} MB; it stays in memory and is not stored",
        max_upload_size=MEGABYTES,
    )
    with st.container():
        pasted = st.chat_input("Or paste one here", accept_file=True, max_upload_size=MEGABYTES, key="paste")
    if pasted is not None and pasted.files:
        st.session_state[PASTED] = (pasted.files[0].name, pasted.files[0].getvalue())
    if file is not None:
        st.session_state.pop(PASTED, None)
        return file.name, file.getvalue()
    kept: tuple[str, bytes] | None = st.session_state.get(PASTED)
    return kept


def image(dataset: Dataset, index: VectorIndex, k: int, question: Question) -> Found | None:
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
        seen = filters.view(dataset).question
        case = cases.one(session, address.number("image") or 0, run_id=seen.run_id, threshold=seen.threshold)
    if case is None or case.dataset_id != dataset.id:
        raise InputError(f"dataset '{dataset.name}' has no image '{typed}'; the number stands in a case's facts")
    st.image(pictures.image_url(case.sha256), width="stretch", alt=grid.alt(case))
    st.caption(f"Image {case.id}: {grid.name(case)}, {case.split or 'no split'}")
    hits = similar.to_image(index, case.id, k, allowed=allowed(question), exclude=_barred(case.id))
    return Found(hits, case.zones)


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

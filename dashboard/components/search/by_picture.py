"""Search by image: an uploaded or pasted one, or one of the dataset."""

import hashlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial

import streamlit as st
from PIL import Image as Picture
from streamlit.delta_generator import DeltaGenerator

from dashboard import resources
from dashboard.components import address, filters, grid, wording
from dashboard.components.browser import clipboard
from dashboard.components.search import inference, neighbours
from dashboard.components.search.neighbours import SearchResult
from db.models import Dataset, VectorIndex
from db.queries import cases, runs, search
from db.queries.cases import Question
from engine.errors import InputError
from engine.imaging.images import Decoded, Pixels
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders import Embedder
from engine.retrieval.neighbours import OUT_OF_DISTRIBUTION, is_out_of_distribution
from engine.retrieval.orientation import ALTERATIONS, suspicion, undone
from engine.retrieval.serving import check_revision, given_weights

MEGABYTES = 20
PREVIEW = 640
"""Size in pixels of the query image next to its hits, for a screen with two pixels per point."""
WIDEST = 1460
"""Maximum image width of Streamlit in pixels; it would scale a wider, line-like image to a height of 0."""
OFFERED = 24
"""Number of images offered to pick from."""
KEPT = "uploaded_picture"
"""Session key: name and bytes of the last uploaded image."""
UNDONE = "uploaded_picture_undone"
"""Session key: names of the alterations of this image that the user has undone."""
SUSPECTED = "uploaded_picture_suspected"
"""Session key: index and vector for which `suspicion` was last asked, and its answer: it takes longer than a search."""
PATIENTS = {"others": "Exclude the query's patient"}


def other_patients() -> bool:
    """Draw the choice whether to exclude the query's patient; returns the choice in the URL."""
    return address.choice("Patients", PATIENTS, name="patients") == "others"


def allowed(question: Question) -> Collection[int] | None:
    """Ids of the images allowed as hits; None for all."""
    with resources.reading() as session:
        return cases.ids_narrowed(session, question)


def _excluded(image_id: int) -> Collection[int]:
    """The query's own image, or all images of its patient if the URL says so."""
    if address.get("patients") not in PATIENTS:
        return [image_id]
    with resources.reading() as session:
        return cases.of_patient(session, image_id)


def upload(dataset: Dataset, view: filters.View, index: VectorIndex, k: int, question: Question) -> SearchResult | None:
    """Search with an uploaded image, which stays in the session's memory and is never stored. Raises InputError if it
    is not an image."""
    decoder = resources.decoder()  # its libraries load while the user chooses a file
    file = st.file_uploader(
        f"Chest radiograph (JPEG, PNG, TIFF or DICOM, at most {MEGABYTES} MB): choose, drop or paste it (Ctrl+V). It "
        "is kept in memory only and not stored",
        max_upload_size=MEGABYTES,
        on_change=_forget,
    )
    clipboard.listen()
    if file is not None:
        st.session_state[KEPT] = (file.name, file.getvalue())
    elif (
        KEPT in st.session_state
    ):  # when the user returns to the page, the image is still there, though not in the field
        st.button("Remove image", on_click=_forget)
    else:
        with suppress(InputError):  # is shown once there is an image to search with
            inference.classifier_of(view, model(index))  # loads while the user chooses a file
        return None
    name, data = st.session_state[KEPT]
    if len(data) > MEGABYTES * 2**20:
        raise InputError(f"file {name} has {wording.size(len(data))}, the limit is {MEGABYTES} MB")
    try:
        decoded = decoder.decode(data)
    except InputError as error:
        raise InputError(f"file {name} cannot be used: {error}") from error
    decoded = replace(decoded, pixels=undone(decoded.pixels, st.session_state.get(UNDONE, ())))
    hint, film = st.container(), partial(_film, st.container(), name, decoded)
    try:
        found, query = _nearest(dataset, view, index, k, question, data=data, pixels=decoded.pixels)
    except InputError:
        film()
        raise

    def afterwards() -> None:
        film()
        with hint:
            if UNDONE in st.session_state:
                st.button("Search with it as uploaded", on_click=_as_uploaded)
            if query is not None:
                _suspect(found.index, decoded.pixels, query)

    return replace(found, afterwards=afterwards)


def _forget() -> None:
    for key in (KEPT, UNDONE, SUSPECTED):
        st.session_state.pop(key, None)


def _undo(name: str) -> None:
    st.session_state[UNDONE] = [*st.session_state.get(UNDONE, ()), name]


def _as_uploaded() -> None:
    st.session_state.pop(UNDONE, None)


def _suspect(index: VectorIndex, pixels: Pixels, query: Vectors) -> None:
    """Say if the image, uint8 (h, w), seems to be inverted or turned, and offer to undo it. query: its vector, as a
    query to the index."""
    asked = index.sha256, query.tobytes()
    if st.session_state.get(SUSPECTED, (None, None))[0] != asked:
        served = neighbours.serve_index(index)
        answer = suspicion(served.vectors, model(index), pixels, query, held=neighbours.held(served))
        st.session_state[SUSPECTED] = asked, answer
    found = st.session_state[SUSPECTED][1]
    if found is None:
        return
    text = str(found)
    st.warning(
        f"{text[0].upper()}{text[1:]}. Prediction and hits are those of the image as it is. Whether left and right are "
        "exchanged is not checked.",
        icon=":material/screen_rotation:",
    )
    st.button(f"Search {found.alteration.undoing}", on_click=_undo, args=[found.alteration.name])


def _nearest(
    dataset: Dataset,
    view: filters.View,
    index: VectorIndex,
    k: int,
    question: Question,
    *,
    data: bytes,
    pixels: Pixels,
) -> tuple[SearchResult, Vectors | None]:
    """Nearest images to an image, uint8 (h, w), from a file with these bytes; and its vector, float32 (1, d), unless
    the index holds it."""
    served = neighbours.serve_index(index)
    reading = inference.read(view, pixels, model(served.index))
    with resources.reading() as session:
        same = search.by_content(session, dataset.id, hashlib.sha256(data).hexdigest())
    as_stored = [same.id] if same and UNDONE not in st.session_state else []
    known = served.vectors.rows(as_stored)  # an embedder may treat images that it knows in another way
    vectors = served.vectors.vectors[known] if len(known) else served.vectors.project_images(reading.vectors)
    among, exclude = allowed(question), _excluded(same.id) if same else None
    hits = neighbours.nearest_to_vectors(served, vectors, k, allowed=among, exclude=exclude)
    strange = not len(known) and is_out_of_distribution(served.vectors, vectors, held=neighbours.held(served))
    if strange:
        st.warning(f"{OUT_OF_DISTRIBUTION[0].upper()}{OUT_OF_DISTRIBUTION[1:]}.", icon=":material/help:")
    if reading.summary is not None:
        summary = f"if it is a chest radiograph, {reading.summary}" if strange else reading.summary
        st.markdown(f"{summary[0].upper()}{summary[1:]}.")
    if same is not None:
        st.caption(f"This is image {same.id} of the dataset; it is excluded from the hits.")
        with resources.reading() as session:
            case = neighbours.seen(session, [same.id], view)[same.id]
        neighbours.query(dataset, case, view, width=110)
    elif address.get("patients") in PATIENTS:
        st.caption("This image is not in the dataset, so its patient is unknown and no patient is excluded.")
    return SearchResult(hits, served.index, reading.zones), None if len(known) else vectors


def _film(place: DeltaGenerator, name: str, decoded: Decoded) -> None:
    """Draw an uploaded image, reduced by an integer factor to PREVIEW pixels or more, because encoding the full image
    in Streamlit takes as long as the classifier."""
    height, width = decoded.pixels.shape
    picture = Picture.fromarray(decoded.pixels).reduce(max(1, min(height, width) // PREVIEW))
    picture.thumbnail((WIDEST, picture.height))
    place.image(picture, width="stretch", alt="The uploaded radiograph")
    changed = "".join(f", {ALTERATIONS[name].undoing}" for name in st.session_state.get(UNDONE, ()))
    place.caption(f"{wording.plain(name)}, {decoded.source_format}, {width} x {height} pixels{changed}")


def image(dataset: Dataset, view: filters.View, index: VectorIndex, k: int, question: Question) -> SearchResult | None:
    """Search with an image that is in the index; needs no model."""
    typed = address.words("Image number or file name", name="image", placeholder="1")
    if not typed:
        st.caption(
            "Pick an image, or enter an image number or file name from a case page. The filters on the left also apply "
            "here."
        )
        with resources.reading() as session:
            offered = cases.page(session, view.question, limit=OFFERED, offset=0)
        grid.show(dataset, [grid.Thumbnail(case) for case in offered], key="pick", width=90, searches=True)
        return None
    number = address.whole(typed.removeprefix("#").strip())
    with resources.reading() as session:
        if number is None:
            number = cases.named(session, dataset.id, typed) or 0
        case = neighbours.seen(session, [number], view).get(number)
    if case is None or case.dataset_id != dataset.id:
        raise InputError(
            f"dataset '{dataset.name}' has no image '{typed}'; case pages show image numbers and file names"
        )
    neighbours.query(dataset, case, view, width=240, whole=True)
    served = neighbours.serve_index(index)
    hits = neighbours.nearest_to_image(served, case.id, k, allowed=allowed(question), exclude=_excluded(case.id))
    return SearchResult(hits, served.index, case.zones)


def model(index: VectorIndex) -> Embedder:
    """The embedder that built the index. Raises InputError if its weights have changed since."""
    with resources.reading() as session:
        run = runs.find(session, index.run_id)
        checkpoint = runs.checkpoint(session, run) if run else None
    path, sha256 = (checkpoint.path, checkpoint.sha256) if checkpoint else (None, None)
    with given_weights(run.weights if run else None) as weights:
        asked = index.embedder, path, sha256, index.revision, weights
        loaded = resources.embedder(*asked)
    if loaded.revision != index.revision:
        resources.embedder.clear(*asked)  # so that corrected weights are loaded at the next attempt
    check_revision(loaded, index.revision, rebuild=partial(neighbours.rebuild, index))
    return loaded

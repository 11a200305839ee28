"""How a search is asked by a picture: an uploaded or pasted one, or an image of the dataset."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
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
from engine.images import Decoded, Pixels
from engine.retrieval.embedders import Embedder
from engine.retrieval.serving import check_revision
from engine.retrieval.vector_index import OUT_OF_DISTRIBUTION

MEGABYTES = 20
PREVIEW = 640
"""Pixels a side of the film beside its hits, on a screen of two pixels a point."""
WIDEST = 1460
"""Pixels that Streamlit lets a picture be wide; of a wider one that is a line it would leave no pixel of height."""
OFFERED = 24
"""Images to pick from."""
KEPT = "uploaded_picture"
"""In the session: the name and the bytes of the picture that was uploaded last."""
PATIENTS = {"others": "Leave out the query's patient"}


def other_patients() -> bool:
    """Whether the query's own patient is left out, as the URL says; draws the choice."""
    return address.choice("Patients", PATIENTS, name="patients") == "others"


def allowed(question: Question) -> Collection[int] | None:
    """The images that hits may be; None for all."""
    with resources.reading() as session:
        return cases.ids_narrowed(session, question)


def _barred(image_id: int) -> Collection[int]:
    """The query's own image, or all of its patient where the URL asks for that."""
    if address.get("patients") not in PATIENTS:
        return [image_id]
    with resources.reading() as session:
        return cases.of_patient(session, image_id)


def upload(dataset: Dataset, view: filters.View, index: VectorIndex, k: int, question: Question) -> SearchResult | None:
    """Ask with a new picture; it stays in the session's memory and is never stored. Raises InputError where it is no
    picture."""
    decoder = resources.decoder()  # its libraries load while a file is chosen
    file = st.file_uploader(
        f"A chest radiograph (JPEG, PNG, TIFF, DICOM), at most {MEGABYTES} MB: choose, drop or paste it (Ctrl+V). It "
        "stays in memory and is not stored",
        max_upload_size=MEGABYTES,
        on_change=_forget,
    )
    clipboard.listen()
    if file is not None:
        st.session_state[KEPT] = (file.name, file.getvalue())
    elif KEPT in st.session_state:  # whoever comes back to the page finds the picture, though not in the field
        st.button("Remove the picture", on_click=_forget)
    else:
        with suppress(InputError):  # is shown once there is a picture to search with
            inference.classifier_of(view, model(index))  # loads while a file is chosen
        return None
    name, data = st.session_state[KEPT]
    if len(data) > MEGABYTES * 2**20:
        raise InputError(f"file {name} has {wording.size(len(data))}, the limit is {MEGABYTES} MB")
    try:
        decoded = decoder.decode(data)
    except InputError as error:
        raise InputError(f"file {name} cannot be used: {error}") from error
    film = partial(_film, st.container(), name, decoded)
    try:
        return _nearest(dataset, view, index, k, question, data=data, pixels=decoded.pixels, film=film)
    except InputError:
        film()
        raise


def _forget() -> None:
    st.session_state.pop(KEPT, None)


def _nearest(
    dataset: Dataset,
    view: filters.View,
    index: VectorIndex,
    k: int,
    question: Question,
    *,
    data: bytes,
    pixels: Pixels,
    film: Callable[[], None],
) -> SearchResult:
    """What is nearest to a picture, uint8 (h, w), in a file of these bytes. film: draws it."""
    served = neighbours.serve_index(index)
    reading = inference.read(view, pixels, model(served.index))
    vectors = served.vectors.project_images(reading.vectors)
    with resources.reading() as session:
        same = search.by_content(session, dataset.id, hashlib.sha256(data).hexdigest())
    among, exclude = allowed(question), _barred(same.id) if same else None
    hits = neighbours.nearest_to_vectors(served, vectors, k, allowed=among, exclude=exclude)
    strange = served.vectors.is_out_of_distribution(vectors)
    if strange:
        st.warning(f"{OUT_OF_DISTRIBUTION[0].upper()}{OUT_OF_DISTRIBUTION[1:]}.", icon=":material/help:")
    if reading.said is not None:
        said = f"if it is one, {reading.said}" if strange else reading.said
        st.markdown(f"{said[0].upper()}{said[1:]}.")
    if same is not None:
        st.caption(f"This picture is image {same.id} of the dataset; it is left out of the hits.")
        with resources.reading() as session:
            case = neighbours.seen(session, [same.id], view)[same.id]
        neighbours.query(dataset, case, view, width=110)
    elif address.get("patients") in PATIENTS:
        st.caption("This picture is no file of the dataset, so its patient is not known and nobody is left out.")
    return SearchResult(hits, served.index, reading.zones, film)


def _film(place: DeltaGenerator, name: str, decoded: Decoded) -> None:
    """Draw an uploaded picture, made smaller by a whole factor, to PREVIEW pixels or more: Streamlit would encode all
    of it, which takes as long as the classifier."""
    height, width = decoded.pixels.shape
    picture = Picture.fromarray(decoded.pixels).reduce(max(1, min(height, width) // PREVIEW))
    picture.thumbnail((WIDEST, picture.height))
    place.image(picture, width="stretch", alt="The uploaded radiograph")
    place.caption(f"{wording.plain(name)}, {decoded.source_format}, {width} x {height} pixels")


def image(dataset: Dataset, view: filters.View, index: VectorIndex, k: int, question: Question) -> SearchResult | None:
    """Ask with an image that is in the index; needs no model."""
    typed = address.words("Image number or file name", name="image", placeholder="1")
    if not typed:
        st.caption(
            "Pick one, or give the number or file that a case's facts tell. The filters at the left narrow the choice."
        )
        with resources.reading() as session:
            offered = cases.page(session, view.question, limit=OFFERED, offset=0)
        grid.show(dataset, offered, key="pick", width=90, searches=True)
        return None
    number = address.whole(typed.removeprefix("#").strip())
    with resources.reading() as session:
        if number is None:
            number = cases.named(session, dataset.id, typed) or 0
        case = neighbours.seen(session, [number], view).get(number)
    if case is None or case.dataset_id != dataset.id:
        raise InputError(
            f"dataset '{dataset.name}' has no image '{typed}'; number and file name stand in a case's facts"
        )
    neighbours.query(dataset, case, view, width=240, whole=True)
    served = neighbours.serve_index(index)
    hits = neighbours.nearest_to_image(served, case.id, k, allowed=allowed(question), exclude=_barred(case.id))
    return SearchResult(hits, served.index, case.zones)


def model(index: VectorIndex) -> Embedder:
    """The embedder that made the index. Raises InputError where it has other weights now."""
    with resources.reading() as session:
        run = runs.find(session, index.run_id)
        checkpoint = runs.checkpoint(session, run) if run else None
    path, sha256 = (checkpoint.path, checkpoint.sha256) if checkpoint else (None, None)
    asked = index.embedder, path, sha256, index.revision
    loaded = resources.embedder(*asked)
    if loaded.revision != index.revision:
        resources.embedder.clear(*asked)  # so that weights which are put right are read at the next try
    check_revision(loaded, index.revision, rebuild=partial(neighbours.rebuild, index))
    return loaded

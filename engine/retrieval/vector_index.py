"""Storing and searching vectors: a folder verified by hashes, with a FAISS index; every hit is scored exactly."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.digests import file_sha256
from engine.errors import InputError
from engine.files import whole_folder
from engine.retrieval import approximate
from engine.retrieval.alignment import NOTHING_KNOWN, Known, mapped
from engine.retrieval.approximate import Kind, Vectors
from engine.retrieval.centring import centred

Ids = NDArray[np.int64]

FORMAT = "pneumoscope vector index 2"
FILES = ("vectors.npy", "ids.npy", "centre.npy", "index.faiss")
WORDS, SENTENCES = "words.npy", "sentences.npy"
"""Additional files of an index with a text mapping: the mapping, and the embedded sentences it was learnt from."""
ROUNDING = 1e-5
"""An upper bound of the error of FAISS's float32 sums of unit vectors; hits this close are re-scored in float64."""


class IndexDamagedError(InputError):
    """The folder is not an intact index, or not the expected one. The message names the file at fault."""


@dataclass(frozen=True)
class SearchHits:
    """The nearest vectors of q queries, best first, ties by id.

    ids: int64 (q, k), -1 if fewer than k exist. similarities: float64 (q, k), cosine in [-1, 1], NaN for id -1.
    """

    ids: Ids
    similarities: NDArray[np.float64]


FEWEST_TO_KNOW = 50
"""Minimum number of images for recognising queries that are out of distribution."""
NEAREST = 3
"""Number of nearest images whose mean similarity is tested: a single one could be an outlier itself. Of 200 samples of
150 chest-xray-pneumonia images in imagenet-lite0, 1.2 % accepted white noise by the nearest image alone, none by three;
one new radiograph in 85 is flagged either way."""
OUT_OF_DISTRIBUTION = (
    f"the picture is less like its {NEAREST} nearest images than 99 % of the collection's images are like theirs: it "
    "may be no chest radiograph, so the hits may be meaningless"
)
"""The warning about a query for which `VectorIndex.is_out_of_distribution` is true."""
DOUBLINGS = 6
"""Maximum number of times that the effort of a filtered approximate search is doubled."""
FEW = 20_000
"""Maximum number of allowed vectors for which an approximate index is bypassed and all are compared."""


@dataclass(frozen=True)
class Manifest:
    """An index folder's description of itself.

    kind: an approximate.Kind. files: file name -> sha256. recall: of the exact 10 nearest, measured when an approximate
    index was built. taught: the concepts that the text mapping was learnt from; None if there is no mapping, or the
    index predates this field. centred_on: "train" if the centre is that of training images, "all" if there were none;
    None if the index predates this field.
    """

    embedder: str
    revision: str
    dimension: int
    count: int
    kind: str
    files: dict[str, str]
    recall: float = 1.0
    format: str = FORMAT
    taught: list[str] | None = None
    centred_on: str | None = None


def write_index(
    folder: Path,
    *,
    vectors: Vectors,
    ids: Ids,
    embedder: str,
    revision: str,
    centre: Vectors | None = None,
    centred_on: str | None = None,
    words: Vectors | None = None,
    known: Known = NOTHING_KNOWN,
    kind: Kind = "exact",
) -> str:
    """Write an index to `folder` atomically, replacing one of that name; returns its manifest's sha256.

    vectors: float32 (n, d), each of length 1, already centred. ids: int64 (n,), unique. centre: (d,), subtracted from
    queries; None for zeros. words: the mapping of texts into the space, and known: what it was learnt from, see
    engine.retrieval.alignment.
    Raises InputError if the arrays do not match or the vectors are not of length 1.
    """
    import faiss

    _refuse_unfit(vectors, ids)
    wide = np.ascontiguousarray(vectors, dtype=np.float32)
    centre = np.zeros(vectors.shape[1], dtype=np.float32) if centre is None else centre
    arrays: dict[str, NDArray[Any]] = {"vectors": wide, "ids": ids.astype(np.int64), "centre": centre}
    if words is not None:
        arrays["words"] = words
    if known.sentences is not None:
        arrays["sentences"] = known.sentences
    index, recall = approximate.build(wide, kind)
    with whole_folder(folder) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        faiss.write_index(index, str(temporary / "index.faiss"))
        manifest = Manifest(
            embedder=embedder,
            revision=revision,
            dimension=vectors.shape[1],
            count=len(ids),
            kind=kind,
            files={path.name: file_sha256(path) for path in sorted(temporary.iterdir())},
            recall=recall,
            taught=None if known.concepts is None else list(known.concepts),
            centred_on=centred_on,
        )
        text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
        (temporary / "manifest.json").write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def latest_in(folder: Path) -> int | None:
    """The highest image id in an index, without verifying its files; None if they cannot be read."""
    try:
        return int(np.load(folder / "ids.npy", mmap_mode="r", allow_pickle=False).max())
    except (OSError, ValueError, EOFError):
        return None


def _refuse_unfit(vectors: Vectors, ids: Ids) -> None:
    """Raises InputError if vectors and ids do not match or a vector is not of length 1."""
    if vectors.ndim != 2 or ids.shape != vectors.shape[:1] or not len(ids) or len(np.unique(ids)) != len(ids):
        raise InputError(f"an index needs vectors (n, d) and n different ids; got {vectors.shape} and {ids.shape}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1.0, atol=1e-3):  # NaN fails too
        raise InputError(f"an index needs unit vectors; got lengths from {lengths.min():.3g} to {lengths.max():.3g}")


class VectorIndex:
    """An index opened for reading: vectors are memory-mapped; similarities are exact and independent of the batch."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        vectors: Vectors,
        ids: Ids,
        centre: Vectors,
        words: Vectors | None,
        known: Known,
        index: Any,
    ) -> None:
        self.manifest = manifest
        self.vectors = vectors
        """float32 (n, d), memory-mapped, each of length 1."""
        self.ids = ids
        """int64 (n,), the image id of each vector."""
        self.centre = centre
        """float32 (d,), subtracted from queries."""
        self.words = words
        """float32 (t + 1, d), the mapping of text embeddings (q, t) into this space; None if they are in it already."""
        self.known = known
        """What that mapping was learnt from."""
        self._index = index
        self._order = np.argsort(ids, kind="stable")

    @classmethod
    def open(cls, folder: Path, *, sha256: str | None = None) -> Self:
        """Open a folder that `write_index` wrote, after verifying every file's hash.

        sha256: the expected hash of the manifest, from the database; None accepts any.
        Raises IndexDamagedError if the folder is missing, incomplete, changed or another index.
        """
        manifest = _manifest(folder, sha256)
        for name in manifest.files:
            if not (folder / name).is_file():
                raise IndexDamagedError(f"vector index {folder} lacks {name}")
            if file_sha256(folder / name) != manifest.files[name]:
                raise IndexDamagedError(f"vector index {folder}: {name} is not the file that was written")
        import faiss

        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        centre = np.load(folder / "centre.npy", allow_pickle=False)
        words, sentences = (
            np.load(folder / name, allow_pickle=False) if name in manifest.files else None
            for name in (WORDS, SENTENCES)
        )
        index = faiss.read_index(str(folder / "index.faiss"))
        shapes = {(manifest.count, manifest.dimension), vectors.shape, (index.ntotal, index.d), (len(ids), len(centre))}
        if len(shapes) != 1 or (words is not None and words.shape[1:] != centre.shape):
            raise IndexDamagedError(f"vector index {folder}: its files and its manifest disagree")
        known = Known(None if manifest.taught is None else tuple(manifest.taught), sentences)
        return cls(manifest, vectors=vectors, ids=ids, centre=centre, words=words, known=known, index=index)

    def __len__(self) -> int:
        return len(self.ids)

    def project_images(self, raw: Vectors) -> Vectors:
        """The embedder's image vectors, raw (q, d), as queries to this index: centred, of length 1, float32 (q, d)."""
        return centred(raw, self.centre)

    def project_texts(self, embedded: Vectors) -> Vectors:
        """The embedder's text vectors (q, t) as queries to this index: float32 (q, d)."""
        return embedded if self.words is None else mapped(self.words, embedded)

    @cached_property
    def usual_similarity(self) -> float | None:
        """The first percentile of the images' mean cosine to their NEAREST other images, from 200 random images; None
        below FEWEST_TO_KNOW images."""
        if len(self) < FEWEST_TO_KNOW:
            return None
        asked = np.sort(np.random.default_rng(0).permutation(len(self))[:200])
        nearest = self.search(np.asarray(self.vectors[asked]), 1 + NEAREST).similarities[:, 1:]
        return float(np.quantile(nearest.mean(axis=1), 0.01))

    def is_out_of_distribution(self, query: Vectors) -> bool:
        """Whether a projected query, float32 (1, d), is unlike the whole collection: perhaps not a radiograph."""
        return (
            self.usual_similarity is not None
            and float(self.search(query, NEAREST).similarities.mean()) < self.usual_similarity
        )

    def rows(self, ids: Collection[int] | Ids) -> NDArray[np.intp]:
        """The row of each id in `vectors`; ids that the index does not contain are left out."""
        try:
            wanted = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, dtype=np.int64, count=len(ids))
        except OverflowError:  # numbers from an address that no id can have
            wanted = np.array([number for number in ids if abs(int(number)) < 2**63], dtype=np.int64)
        place = np.minimum(np.searchsorted(self.ids, wanted, sorter=self._order), len(self.ids) - 1)
        rows: NDArray[np.intp] = self._order[place]
        known: NDArray[np.intp] = rows[self.ids[rows] == wanted]
        return known

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        exclude_ids: Collection[int] | Ids | None = None,
        allowed_ids: Collection[int] | Ids | None = None,
    ) -> SearchHits:
        """The k nearest of the allowed vectors that are not excluded; always k if so many exist.

        An approximate index may miss some of the nearest, see manifest.recall; with a filter, which can leave out just
        the lists or links that were tuned for, it looks further until the hits stay the same. Up to FEW allowed vectors
        are compared exhaustively. queries: float32 (q, d), projected, each of length 1. Raises InputError for another
        shape or length, or k below 1.
        """
        name, dimension = self.manifest.embedder, self.manifest.dimension
        if queries.ndim != 2 or queries.shape[1] != dimension or k < 1:
            raise InputError(f"index '{name}' takes queries (q, {dimension}) and k from 1; got {queries.shape} and {k}")
        if not np.allclose(np.linalg.norm(queries, axis=1), 1.0, atol=1e-3):
            raise InputError(f"index '{name}' takes queries of length 1; normalise them first")
        allowed = None
        if exclude_ids is not None or allowed_ids is not None:
            allowed = np.full(len(self), allowed_ids is None)
            if allowed_ids is not None:
                allowed[self.rows(allowed_ids)] = True
            if exclude_ids is not None:
                allowed[self.rows(exclude_ids)] = False
        if self.manifest.kind == "exact":
            return exact_search(self._index, self.vectors, self.ids, queries, k, allowed=allowed)
        available = len(self) if allowed is None else int(allowed.sum())
        wanted = min(k, available)
        if available <= FEW:
            return _compared(self.vectors, self.ids, queries, k, np.arange(len(self)) if allowed is None else allowed)
        hits = self._proposed(queries, k, wanted, allowed, effort=1)
        for doubled in range(1, DOUBLINGS + 1) if allowed_ids is not None else ():  # excluding a few changes little
            further = self._proposed(queries, k, wanted, allowed, effort=2**doubled)
            if np.array_equal(further.ids, hits.ids):
                break
            hits = further
        return hits

    def _proposed(
        self, queries: Vectors, k: int, wanted: int, allowed: NDArray[np.bool_] | None, *, effort: int
    ) -> SearchHits:
        """The k nearest of the rows that the approximate index proposes; of all allowed ones if it proposes fewer than
        `wanted`. effort: factor on the index's own search effort."""
        found = approximate.candidates(self._index, queries, max(4 * k, 64), allowed, effort=effort)
        near = [
            _compared(self.vectors, self.ids, query[None], k, rows if len(rows) >= wanted else allowed)
            for query, rows in zip(queries, found, strict=True)
        ]
        ids, similarities = [one.ids for one in near], [one.similarities for one in near]
        return SearchHits(np.concatenate(ids), np.concatenate(similarities))


def exact_search(
    flat: Any, vectors: Vectors, ids: Ids, queries: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
) -> SearchHits:
    """The k nearest rows by cosine, sorted by similarity in float64 and then by id.

    FAISS sums in float32, in an order that depends on the batch, so it only proposes candidates: all rows within
    rounding error of the k-th are scored again. flat: faiss.IndexFlatIP over `vectors`. allowed: bool (n,), rows that
    may be returned.
    """
    import faiss

    options, available = None, len(vectors)
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]  # its stubs describe C++, not Python
        options = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # as above
        available = int(allowed.sum())
    hits = np.full((len(queries), k), -1, dtype=np.int64)
    similarities = np.full((len(queries), k), np.nan)
    wanted = min(k, available)
    pending = np.arange(len(queries)) if wanted else np.empty(0, dtype=np.intp)
    asked = min(available, wanted + 8)
    while len(pending):
        scores, rows = flat.search(np.ascontiguousarray(queries[pending], dtype=np.float32), asked, params=options)
        enough = (scores[:, -1] < scores[:, wanted - 1] - ROUNDING) | (asked == available)
        for query, found in zip(pending[enough], rows[enough], strict=True):
            exact = (vectors[found].astype(np.float64) * queries[query].astype(np.float64)).sum(axis=1)
            best = np.lexsort((ids[found], -exact))[:wanted]
            hits[query, :wanted], similarities[query, :wanted] = ids[found[best]], exact[best]
        pending, asked = pending[~enough], min(available, 2 * asked)
    return SearchHits(hits, similarities)


def _compared(vectors: Vectors, ids: Ids, queries: Vectors, k: int, rows: NDArray[Any] | None) -> SearchHits:
    """The k nearest of the given rows (row numbers or a mask; None for all), all compared in float64."""
    chosen = np.arange(len(ids)) if rows is None else np.flatnonzero(rows) if rows.dtype == bool else rows
    near = np.concatenate(
        [
            queries.astype(np.float64) @ vectors[chosen[start : start + FEW]].astype(np.float64).T
            for start in range(0, max(1, len(chosen)), FEW)
        ],
        axis=1,
    ).round(12)  # the last digits of a matrix product depend on a row's position: equal vectors must score equally
    hits, similarities = np.full((len(queries), k), -1, dtype=np.int64), np.full((len(queries), k), np.nan)
    for query, scores in enumerate(near):
        best = np.lexsort((ids[chosen], -scores))[:k]
        hits[query, : len(best)], similarities[query, : len(best)] = ids[chosen[best]], scores[best]
    return SearchHits(hits, similarities)


def _manifest(folder: Path, sha256: str | None) -> Manifest:
    """The folder's manifest. Raises IndexDamagedError if it is absent, unreadable or of another index or format."""
    try:
        text = (folder / "manifest.json").read_bytes()
    except OSError as error:
        raise IndexDamagedError(f"vector index {folder} has no manifest.json ({error.strerror})") from error
    if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
        raise IndexDamagedError(f"vector index {folder} is not the one recorded in the database")
    try:
        manifest = Manifest(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise IndexDamagedError(f"vector index {folder}: manifest.json cannot be read") from error
    if not isinstance(manifest.taught, list | None):
        raise IndexDamagedError(f"vector index {folder}: manifest.json cannot be read")
    if manifest.format != FORMAT or set(manifest.files) - {WORDS, SENTENCES} != set(FILES):
        raise IndexDamagedError(f"vector index {folder} has format '{manifest.format}', expected '{FORMAT}'")
    return manifest

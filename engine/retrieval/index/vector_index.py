"""A vector index opened for reading: queries are projected into it and searched for; every hit is scored exactly."""

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.retrieval.arrays import Ids, Vectors
from engine.retrieval.index import approximate
from engine.retrieval.index.centring import centred
from engine.retrieval.index.exact import SearchHits, compared, exact_search
from engine.retrieval.index.folder import SENTENCES, WORDS, IndexDamagedError, Manifest, verified_manifest
from engine.retrieval.text.alignment import Known, mapped

FEWEST_TO_KNOW = 50
"""Minimum number of images for recognising queries that are out of distribution."""
NEAREST = 3
"""Number of nearest images whose mean similarity is tested: a single one could be an outlier itself. Of 200 samples of
150 chest-xray-pneumonia images in imagenet-lite0, 1.2 % accepted white noise by the nearest image alone, none by three;
one new radiograph in 85 is flagged either way."""
DOUBLINGS = 6
"""Maximum number of times that the effort of a filtered approximate search is doubled."""
FEW = 20_000
"""Maximum number of allowed vectors for which an approximate index is bypassed and all are compared."""


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
        manifest = verified_manifest(folder, sha256=sha256)
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
            return compared(self.vectors, self.ids, queries, k, np.arange(len(self)) if allowed is None else allowed)
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
            compared(self.vectors, self.ids, query[None], k, rows if len(rows) >= wanted else allowed)
            for query, rows in zip(queries, found, strict=True)
        ]
        ids, similarities = [one.ids for one in near], [one.similarities for one in near]
        return SearchHits(np.concatenate(ids), np.concatenate(similarities))

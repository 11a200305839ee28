"""How vectors are kept on disk and searched exactly: a folder verified by hash, FAISS inside."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

FORMAT = "pneumoscope vector index 1"
AGAIN = "build it again with: python -m jobs embed"
FILES = ("vectors.npy", "ids.npy", "index.faiss")
ROUNDING = 1e-5
"""More than FAISS's float32 sums of unit vectors can be off by; hits this close are told apart in float64."""


class IndexDamagedError(InputError):
    """The folder is not a whole index, or not the one asked for. The message names the file at fault."""


@dataclass(frozen=True)
class SearchHits:
    """The nearest vectors of q queries, best first, equal ones by id.

    ids: int64 (q, k), -1 where fewer than k exist. similarities: float64 (q, k), cosine in [-1, 1], NaN there.
    """

    ids: Ids
    similarities: NDArray[np.float64]


@dataclass(frozen=True)
class Manifest:
    """What an index folder says of itself; files maps each file's name to its sha256."""

    embedder: str
    revision: str
    dimension: int
    count: int
    kind: str
    files: dict[str, str]
    format: str = FORMAT


def write_index(folder: Path, *, vectors: Vectors, ids: Ids, embedder: str, revision: str) -> str:
    """Store an index as `folder`, which appears whole or not at all; returns its manifest's sha256.

    vectors: float32 (n, d), each of length 1. ids: int64 (n,), unique. A folder of that name is replaced.
    Raises InputError where the arrays do not fit each other or hold anything but unit vectors.
    """
    import faiss

    if vectors.ndim != 2 or ids.shape != vectors.shape[:1] or not len(ids) or len(np.unique(ids)) != len(ids):
        raise InputError(f"an index needs vectors (n, d) and n different ids; got {vectors.shape} and {ids.shape}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1.0, atol=1e-3):  # NaN fails too
        raise InputError(f"an index needs unit vectors; lengths run from {lengths.min():.3g} to {lengths.max():.3g}")
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    np.save(temporary / "vectors.npy", np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
    np.save(temporary / "ids.npy", ids.astype(np.int64), allow_pickle=False)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(np.ascontiguousarray(vectors, dtype=np.float32))
    faiss.write_index(flat, str(temporary / "index.faiss"))
    manifest = Manifest(
        embedder=embedder,
        revision=revision,
        dimension=vectors.shape[1],
        count=len(ids),
        kind="IndexFlatIP",
        files={name: _sha256(temporary / name) for name in FILES},
    )
    text = json.dumps(manifest.__dict__, indent=2, sort_keys=True)
    (temporary / "manifest.json").write_text(text, encoding="utf-8")
    for path in (*temporary.iterdir(), temporary):
        _flush(path)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    _flush(folder.parent)
    return hashlib.sha256(text.encode()).hexdigest()


class VectorIndex:
    """An index opened for reading: vectors are memory-mapped, searches are exact and the same for any batch."""

    def __init__(self, manifest: Manifest, vectors: Vectors, ids: Ids, flat: Any) -> None:
        self.manifest = manifest
        self.vectors = vectors
        """float32 (n, d), memory-mapped, each of length 1."""
        self.ids = ids
        """int64 (n,), the image id of each vector."""
        self._flat = flat
        self._order = np.argsort(ids, kind="stable")

    @classmethod
    def open(cls, folder: Path, *, sha256: str | None = None) -> Self:
        """Open a folder that `write_index` wrote, after checking every file's hash.

        sha256: the manifest's, as the database remembers it; other manifests are refused as foreign.
        Raises IndexDamagedError where the folder is missing, torn, truncated, changed or foreign.
        """
        manifest = _manifest(folder, sha256)
        for name in FILES:
            if not (folder / name).is_file():
                raise IndexDamagedError(f"vector index {folder} lacks {name}; {AGAIN}")
            if _sha256(folder / name) != manifest.files[name]:
                raise IndexDamagedError(f"vector index {folder}: {name} is not the file that was written; {AGAIN}")
        import faiss

        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        flat = faiss.read_index(str(folder / "index.faiss"))
        shapes = {(manifest.count, manifest.dimension), vectors.shape, (flat.ntotal, flat.d), (len(ids), flat.d)}
        if len(shapes) != 1:
            raise IndexDamagedError(f"vector index {folder}: its files and its manifest disagree; {AGAIN}")
        return cls(manifest, vectors, ids, flat)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Collection[int] | Ids) -> NDArray[np.intp]:
        """Row of each id in `vectors`; ids that the index does not hold are left out."""
        wanted = np.asarray(list(ids), dtype=np.int64)
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
        """The k nearest of the allowed vectors that are not excluded, so that k come back wherever k exist.

        queries: float32 (q, d), each of length 1. Raises InputError on another shape or length, or k below 1.
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
        return exact_search(self._flat, self.vectors, self.ids, queries, k, allowed=allowed)


def exact_search(
    flat: Any, vectors: Vectors, ids: Ids, queries: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
) -> SearchHits:
    """The k nearest rows by cosine, ordered by similarity in float64 and then by id.

    FAISS sums in float32, in an order that depends on the batch, so it only proposes: all rows within rounding of the
    k-th are scored again. flat: faiss.IndexFlatIP over `vectors`. allowed: bool (n,), rows that may be hit.
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


def _manifest(folder: Path, sha256: str | None) -> Manifest:
    try:
        text = (folder / "manifest.json").read_bytes()
    except OSError as error:
        raise IndexDamagedError(f"vector index {folder} has no manifest.json ({error.strerror}); {AGAIN}") from error
    if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
        raise IndexDamagedError(f"vector index {folder} is not the one that the database remembers; {AGAIN}")
    try:
        manifest = Manifest(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise IndexDamagedError(f"vector index {folder}: manifest.json cannot be read; {AGAIN}") from error
    if manifest.format != FORMAT or set(manifest.files) != set(FILES):
        raise IndexDamagedError(f"vector index {folder} has format '{manifest.format}', expected '{FORMAT}'; {AGAIN}")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Make a file's bytes, or a folder's names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A vector index as a folder: written at once with a manifest of hashes, and refused if its files were changed."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.digests import file_sha256
from engine.errors import InputError
from engine.files import whole_folder
from engine.retrieval.arrays import Ids, Vectors
from engine.retrieval.index import approximate
from engine.retrieval.index.approximate import Kind
from engine.retrieval.text.alignment import NOTHING_KNOWN, Known

FORMAT = "pneumoscope vector index 2"
FILES = ("vectors.npy", "ids.npy", "centre.npy", "index.faiss")
WORDS, SENTENCES = "words.npy", "sentences.npy"
"""Additional files of an index with a text mapping: the mapping, and the embedded sentences it was learnt from."""


class IndexDamagedError(InputError):
    """The folder is not an intact index, or not the expected one. The message names the file at fault."""


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
    engine.retrieval.text.alignment.
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


def verified_manifest(folder: Path, *, sha256: str | None) -> Manifest:
    """The manifest of a folder that `write_index` wrote, after verifying every file's hash.

    sha256: the expected hash of the manifest; None accepts any. Raises IndexDamagedError if the folder is missing,
    incomplete, changed or another index.
    """
    manifest = _manifest(folder, sha256)
    for name in manifest.files:
        if not (folder / name).is_file():
            raise IndexDamagedError(f"vector index {folder} lacks {name}")
        if file_sha256(folder / name) != manifest.files[name]:
            raise IndexDamagedError(f"vector index {folder}: {name} is not the file that was written")
    return manifest


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
    if not isinstance(manifest.taught, list | None) or not isinstance(manifest.files, dict):
        raise IndexDamagedError(f"vector index {folder}: manifest.json cannot be read")
    if manifest.format != FORMAT or set(manifest.files) - {WORDS, SENTENCES} != set(FILES):
        raise IndexDamagedError(f"vector index {folder} has format '{manifest.format}', expected '{FORMAT}'")
    return manifest

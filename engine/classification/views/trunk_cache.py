"""A cache of the frozen trunk's maps: computed once for each view and stored as memory-mapped files."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from engine.classification import versions
from engine.classification.views.descriptions import Description
from engine.classification.views.kinds import FILMS, Source
from engine.digests import file_sha256, is_whole, json_sha256
from engine.files import whole_file, write_whole
from engine.imaging.images import parallel

STALE_SECONDS = 3600
"""Age at which a temporary file is taken for the leftover of a killed build."""


@dataclass(frozen=True)
class TrunkCache:
    """Trunk maps for each view: views[v] is float16 (n, c, h, w), memory-mapped. View 0 is the image, view 1 its mirror
    image, the others are augmented."""

    views: tuple[np.ndarray, ...]

    def take(self, rows: np.ndarray, views: np.ndarray) -> torch.Tensor:
        """Maps of `rows` (m,), each in its view from `views` (m,): float32 (m, c, h, w), channels last."""
        stacked = np.stack([self.views[view][row] for row, view in zip(rows, views, strict=True)])
        return torch.from_numpy(stacked).float().contiguous(memory_format=torch.channels_last)

    def drawn(self, batches: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[torch.Tensor]:
        """Maps of each batch of rows, each row in a random view; the next batch is read in the background."""
        chosen = [(rows, rng.integers(len(self.views), size=len(rows))) for rows in batches]
        return parallel(lambda batch: self.take(*batch), chosen, workers=1)

    def films(self, rows: np.ndarray, *, mirror: bool = False) -> torch.Tensor:
        """Maps of `rows` (m,) without augmentation, or mirrored: float32 (m, c, h, w)."""
        return self.take(rows, np.full(len(rows), int(mirror)))


def build(
    folder: Path,
    source: Source,
    description: Description,
    *,
    views: Iterable[int],
    batch_size: int = 64,
    advance: Callable[[int], None] = lambda _: None,
) -> TrunkCache:
    """Open the views that are cached and intact, and compute the others.

    folder: holds one sub-folder per key, which is the hash of images, weights, transform and code version. A view's
    file is written atomically, so a killed build resumes with the view it was computing. views: the numbers of the
    views that this process opens or computes; only these are in the returned cache. advance: called with the number of
    images done, also for cached views.
    """
    count = len(source.image_sha256)
    home = _home(
        folder,
        {
            "images": hashlib.sha256("\n".join(source.image_sha256).encode()).hexdigest(),
            "variation": source.variation,
            "views": versions.VIEWS,
            "code": versions.TRUNK,
            **description.key(),
        },
    )

    def described(view: int, rows: range) -> np.ndarray:
        return description(source.pixels(view, rows), exact=view < FILMS)

    opened = []
    for view in views:
        name = ("film", "mirrored")[view] if view < FILMS else f"view-{view}-seed-{source.seed}"
        path = home / f"{name}.npy"
        mark = path.with_suffix(".sha256")
        if not (mark.is_file() and is_whole(path, mark.read_text())):
            _compute(path, partial(described, view), count, batch_size, advance)
        else:
            advance(count)
        opened.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return TrunkCache(tuple(opened))


def _home(folder: Path, described: Mapping[str, object]) -> Path:
    """The cache's sub-folder for this key, created if missing; stale temporary files in it are removed."""
    home = folder / json_sha256(described)[:24]
    home.mkdir(parents=True, exist_ok=True)
    for left_over in home.glob(".*.npy"):  # a build in progress keeps writing to its own
        if time.time() - left_over.stat().st_mtime > STALE_SECONDS:
            left_over.unlink(missing_ok=True)
    return home


def _compute(
    path: Path,
    described: Callable[[range], np.ndarray],
    count: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> None:
    """Write one view's file; each core reads, augments and describes batches of its own."""

    def computed(rows: range) -> np.ndarray:
        torch.set_num_threads(1)  # in this worker: batches already run in parallel
        return described(rows).astype(np.float16, copy=False)

    threads = torch.get_num_threads()
    try:
        with whole_file(path) as temporary:
            with temporary.open("wb") as stream:  # writing to a memory map kills the process if the disk is full
                batches = list(_batches(count, batch_size))
                for rows, made in zip(batches, parallel(computed, batches, workers=threads), strict=True):
                    if rows.start == 0:
                        header = {"descr": "<f2", "fortran_order": False, "shape": (count, *made.shape[1:])}
                        np.lib.format.write_array_header_1_0(stream, header)
                    stream.write(made.tobytes())
                    advance(len(rows))
            write_whole(path.with_suffix(".sha256"), file_sha256(temporary))
    finally:
        torch.set_num_threads(threads)


def _batches(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))

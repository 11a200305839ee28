"""A cache of the frozen trunk's maps: computed once for each view and stored as memory-mapped files."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.classification import versions
from engine.classification.backbones import Backbone
from engine.classification.fusing import few_at_a_time
from engine.classification.views import SIZE, VARIATIONS, mirrored
from engine.classification.views import seeds as view_seeds
from engine.digests import file_sha256, is_whole, json_sha256
from engine.files import whole_file, write_whole
from engine.images import parallel

STALE_SECONDS = 3600
"""Age at which a temporary file is taken for the leftover of a killed build."""
FILMS = {0: "film", 1: "mirrored"}
"""File names of the views without augmentation."""

Describer = Callable[[np.ndarray], np.ndarray]
"""uint8 (n, s, s) -> float16 (n, ...)."""
PixelReader = Callable[[Sequence[int], int], np.ndarray]
"""Rows of the image list, side in pixels -> uint8 (n, side, side)."""


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


def weights_sha256(network: nn.Module) -> str:
    """sha256 of all weights and buffers; it is part of the cache's key."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def build(
    folder: Path,
    backbone: Backbone,
    image_sha256: Sequence[str],
    read_pixels: PixelReader,
    *,
    views: int,
    variation: str,
    seed: int,
    size: int = SIZE,
    hide_corners: bool = False,
    batch_size: int = 64,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda _: None,
    describe: Describer | None = None,
    kept: str = "maps",
    mine: Callable[[int], bool] = lambda _: True,
) -> TrunkCache:
    """Open the views that are cached and intact, and compute the others.

    folder: holds one sub-folder per key, which is the hash of images, weights, transform and code version. A view's
    file is written atomically, so a killed build resumes with the view it was computing. views: at least 2; view 0 is
    the image, view 1 its mirror image, the others are augmented by `variation`. size: side of the network's input.
    advance: called with the number of images done, also for cached views. describe: what to compute from the pixels and
    store under the name `kept`; by default the trunk's maps, in float32 for views 0 and 1, which are also scored, and
    in bfloat16 for augmented views. mine: which views this process opens or computes; only these are in the returned
    cache.
    """
    kind = VARIATIONS[variation]
    described = {
        "images": hashlib.sha256("\n".join(image_sha256).encode()).hexdigest(),
        "weights": weights_sha256(backbone.trunk if describe is None else backbone),
        "backbone": backbone.spec.name,
        "cut": backbone.cut,
        "size": size,
        "hide_corners": hide_corners,
        "variation": variation,
        "views": versions.VIEWS,
        "code": versions.TRUNK,
        "kept": kept,
    }
    home = _home(folder, described)
    seen_as = partial(trunk_maps, backbone, size=size, hide_corners=hide_corners, device=device)

    def pixels_of(view: int, rows: range) -> np.ndarray:
        if view == 0:
            return read_pixels(rows, SIZE)
        if view == 1:
            return mirrored(read_pixels(rows, SIZE))
        drawn = view_seeds([image_sha256[row] for row in rows], view=view, seed=seed)
        return kind.vary(read_pixels(rows, kind.read), drawn, view)

    opened = []
    for view in filter(mine, range(views)):
        path = home / f"{FILMS.get(view, f'view-{view}-seed-{seed}')}.npy"
        mark = path.with_suffix(".sha256")
        if not (mark.is_file() and is_whole(path, mark.read_text())):
            look = describe or partial(seen_as, exact=view in FILMS)
            _compute(path, look, partial(pixels_of, view), len(image_sha256), batch_size, advance)
        else:
            advance(len(image_sha256))
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
    describe: Describer,
    pixels_of: Callable[[range], np.ndarray],
    count: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> None:
    """Write one view's file; each core reads, augments and describes batches of its own."""

    def describe_rows(rows: range) -> np.ndarray:
        torch.set_num_threads(1)  # in this worker: batches already run in parallel
        return describe(pixels_of(rows)).astype(np.float16, copy=False)

    threads = torch.get_num_threads()
    try:
        with whole_file(path) as temporary:
            with temporary.open("wb") as stream:  # writing to a memory map kills the process if the disk is full
                batches = list(_batches(count, batch_size))
                for rows, made in zip(batches, parallel(describe_rows, batches, workers=threads), strict=True):
                    if rows.start == 0:
                        header = {"descr": "<f2", "fortran_order": False, "shape": (count, *made.shape[1:])}
                        np.lib.format.write_array_header_1_0(stream, header)
                    stream.write(made.tobytes())
                    advance(len(rows))
            write_whole(path.with_suffix(".sha256"), file_sha256(temporary))
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def trunk_maps(
    backbone: Backbone,
    pixels: np.ndarray,
    *,
    size: int = SIZE,
    hide_corners: bool = False,
    device: str = "cpu",
    exact: bool = False,
) -> np.ndarray:
    """uint8 (n, s, s) -> float16 (n, c, h, w). size: side of the network's input. exact: compute in float32, otherwise
    in bfloat16."""
    images = backbone.normalise(torch.from_numpy(pixels).to(device), size=size, hide_corners=hide_corners)
    if exact:
        maps = few_at_a_time(backbone.exact_trunk, images)
    else:
        maps = few_at_a_time(backbone.quick_trunk, images.bfloat16())
    kept: np.ndarray = maps.to("cpu", torch.float16).numpy()
    return kept


def _batches(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))

"""What the frozen trunk makes of every image, computed once for each view and kept as memory-mapped files."""

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
FILMS = {0: "film", 1: "mirrored"}
"""Files of the views that are not varied."""

Describer = Callable[[np.ndarray], np.ndarray]
"""uint8 (n, s, s) -> float16 (n, ...)."""
PixelReader = Callable[[Sequence[int], int], np.ndarray]
"""Rows of the image list and a side -> uint8 (n, side, side)."""


@dataclass(frozen=True)
class TrunkCache:
    """Trunk maps for each view: views[v] is float16 (n, c, h, w), memory-mapped; view 0 is the image as it is, view 1
    its mirror image."""

    views: tuple[np.ndarray, ...]

    def take(self, rows: np.ndarray, views: np.ndarray) -> torch.Tensor:
        """Maps of `rows` (m,), each in the view named by `views` (m,): float32 (m, c, h, w), channels last."""
        stacked = np.stack([self.views[view][row] for row, view in zip(rows, views, strict=True)])
        return torch.from_numpy(stacked).float().contiguous(memory_format=torch.channels_last)

    def drawn(self, batches: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[torch.Tensor]:
        """Maps of each batch of rows, every row in a view drawn by chance; the next batch is read meanwhile."""
        chosen = [(rows, rng.integers(len(self.views), size=len(rows))) for rows in batches]
        return parallel(lambda batch: self.take(*batch), chosen, workers=1)

    def films(self, rows: np.ndarray, *, mirror: bool = False) -> torch.Tensor:
        """Maps of `rows` (m,) as they are, or of their mirror images: float32 (m, c, h, w)."""
        return self.take(rows, np.full(len(rows), int(mirror)))


def weights_sha256(network: nn.Module) -> str:
    """Hash of weights and buffers: other weights, other cache."""
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
    """Open the cached views that are there and whole, compute the others.

    folder: holds one sub-folder for each key; the key is the hash of images, weights, transform and code version.
    A view appears as a whole file or not at all, so a killed build goes on with the view it was at.
    views: at least 2; view 0 is the image as it is, 1 its mirror image, the others are varied as `variation` says.
    size: side that the network works at. advance: called with the number of images done, for views found in the cache
    too. describe: what is kept of the pixels, under the name `kept`; by default the trunk's maps, computed in float32
    for the films and their mirror images, which are scored too, and in bfloat16 for the varied views.
    mine: which views this process computes; the others are waited for by the caller before it opens them.
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
    """The sub-folder of the cache that is described so, without what a killed build left half written."""
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
    """Write one view; each core reads, varies and looks at a batch of its own."""

    def describe_rows(rows: range) -> np.ndarray:
        torch.set_num_threads(1)  # in this worker: batches already run side by side
        return describe(pixels_of(rows)).astype(np.float16, copy=False)

    threads = torch.get_num_threads()
    try:
        with whole_file(path) as temporary:
            with temporary.open("wb") as stream:  # a memory map ends the process on a full disk
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
    """uint8 (n, s, s) -> float16 (n, c, h, w), seen at side `size`; in float32 where exact, in bfloat16 elsewhere."""
    images = backbone.normalise(torch.from_numpy(pixels).to(device), size=size, hide_corners=hide_corners)
    if exact:
        maps = few_at_a_time(backbone.exact_trunk, images)
    else:
        maps = few_at_a_time(backbone.quick_trunk, images.bfloat16())
    kept: np.ndarray = maps.to("cpu", torch.float16).numpy()
    return kept


def _batches(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))

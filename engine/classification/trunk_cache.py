"""What the frozen trunk makes of every image, computed once for each view and kept as memory-mapped files."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.classification import augment, variations, versions
from engine.classification.backbones import Backbone
from engine.files import whole_file, write_whole
from engine.images import parallel

STALE_SECONDS = 3600

Describer = Callable[[np.ndarray], np.ndarray]
"""uint8 (n, s, s) -> float16 (n, ...)."""
PixelReader = Callable[[Sequence[int]], np.ndarray]
"""Rows of the image list -> uint8 (n, s, s)."""


@dataclass(frozen=True)
class TrunkCache:
    """Trunk maps for each view: views[v] is float16 (n, c, h, w), memory-mapped; view 0 is the image as it is."""

    views: tuple[np.ndarray, ...]

    def take(self, rows: np.ndarray, views: np.ndarray) -> torch.Tensor:
        """Maps of `rows` (m,), each in the view named by `views` (m,): float32 (m, c, h, w), channels last."""
        stacked = np.stack([self.views[view][row] for row, view in zip(rows, views, strict=True)])
        return torch.from_numpy(stacked).float().contiguous(memory_format=torch.channels_last)


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
    seed: int,
    batch_size: int = 64,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda _: None,
    size: int | None = None,
    describe: Describer | None = None,
    mirrored: bool = False,
) -> TrunkCache:
    """Open the cached views that are there and whole, compute the others.

    folder: holds one sub-folder for each key; the key is the hash of images, trunk weights, transform and code version.
    A view appears as a whole file or not at all, so a killed build goes on with the view it was at.
    advance: called with the number of images done, for views found in the cache too.
    size: side that read_pixels reads at; the backbone's own by default.
    describe: what is kept of the pixels; the trunk's maps by default. mirrored: view 1 is view 0's mirror image.
    Of maps the other views are augmented; of what `describe` says they are varied mildly (even ones) or strongly.
    """
    described = {
        "images": hashlib.sha256("\n".join(image_sha256).encode()).hexdigest(),
        "weights": weights_sha256(backbone.trunk if describe is None else backbone),
        "backbone": backbone.spec.name,
        "cut": backbone.cut,
        "size": size or backbone.spec.input_size,
        "augment": versions.VIEWS,
        "code": versions.TRUNK,
        "kept": "maps" if describe is None else f"statistics of {backbone.spec.taps}",
    }
    vary = _augmented if describe is None else _varied
    describe = describe or partial(trunk_maps, backbone, device=device)
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]
    home = folder / key
    home.mkdir(parents=True, exist_ok=True)
    for left_over in home.glob(".*.npy"):  # of a killed build; a build in progress keeps writing to its own
        if time.time() - left_over.stat().st_mtime > STALE_SECONDS:
            left_over.unlink(missing_ok=True)
    opened = []
    for view in range(views):
        if view == 0:
            path, prepare = home / "view-0.npy", _as_it_is
        elif view == 1 and mirrored:
            path, prepare = home / "mirrored.npy", _mirrored
        else:
            path, prepare = home / f"view-{view}-seed-{seed}.npy", partial(vary, view=view, seed=seed)
        if not _is_whole(path):
            _compute(path, describe, image_sha256, read_pixels, prepare, batch_size, advance)
        else:
            advance(len(image_sha256))
        opened.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return TrunkCache(tuple(opened))


def _is_whole(path: Path) -> bool:
    """Whether the view's bytes still have the hash they were written with."""
    try:
        expected = path.with_suffix(".sha256").read_text()
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == expected
    except FileNotFoundError:
        return False


def _as_it_is(pixels: np.ndarray, _image_sha256: Sequence[str]) -> np.ndarray:
    return pixels


def _mirrored(pixels: np.ndarray, _image_sha256: Sequence[str]) -> np.ndarray:
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _augmented(pixels: np.ndarray, image_sha256: Sequence[str], *, view: int, seed: int) -> np.ndarray:
    return augment.augmented_view(pixels, seeds=_seeds(image_sha256, view, seed))


def _varied(pixels: np.ndarray, image_sha256: Sequence[str], *, view: int, seed: int) -> np.ndarray:
    variation = variations.STRONG if view % 2 else variations.MILD
    return variations.varied_view(pixels, seeds=_seeds(image_sha256, view, seed), variation=variation)


def _compute(
    path: Path,
    describe: Describer,
    image_sha256: Sequence[str],
    read_pixels: PixelReader,
    prepare: Callable[[np.ndarray, Sequence[str]], np.ndarray],
    batch_size: int,
    advance: Callable[[int], None],
) -> None:
    """Write one view; the next batch is read and varied while the network looks at this one."""

    def prepared(rows: range) -> np.ndarray:
        return prepare(read_pixels(rows), [image_sha256[row] for row in rows])

    with whole_file(path) as temporary:
        with temporary.open("wb") as stream:  # not a memory map: on a full disk that ends the process without a word
            batches = list(_batches(len(image_sha256), batch_size))
            for rows, pixels in zip(batches, parallel(prepared, batches, workers=1), strict=True):
                made = describe(pixels).astype(np.float16, copy=False)
                if rows.start == 0:
                    header = {"descr": "<f2", "fortran_order": False, "shape": (len(image_sha256), *made.shape[1:])}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(made.tobytes())
                advance(len(rows))
        with temporary.open("rb") as written:
            write_whole(path.with_suffix(".sha256"), hashlib.file_digest(written, "sha256").hexdigest())


@torch.inference_mode()
def trunk_maps(backbone: Backbone, pixels: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """uint8 (n, s, s) -> float16 (n, c, h, w), computed in bfloat16."""
    images = backbone.normalise(torch.from_numpy(pixels).to(device))
    maps: np.ndarray = backbone.quick_trunk(images.bfloat16()).to("cpu", torch.float16).numpy()
    return maps


def _batches(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def _seeds(image_sha256: Sequence[str], view: int, seed: int) -> np.ndarray:
    """A seed for each image that depends on the image, the view and the run's seed, and on nothing else."""
    marks = [hashlib.sha256(f"{sha}:{view}:{seed}".encode()).digest()[:7] for sha in image_sha256]
    return np.array([int.from_bytes(mark) for mark in marks], dtype=np.int64)

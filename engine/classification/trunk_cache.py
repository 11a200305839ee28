"""What the frozen trunk makes of every image, computed once for each view and kept as memory-mapped files."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.classification import augment, versions
from engine.classification.backbones import Backbone
from engine.files import whole_file, write_whole

STALE_SECONDS = 3600

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


def weights_sha256(backbone: Backbone) -> str:
    """Hash of the trunk's weights and buffers: other weights, other cache."""
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.trunk.state_dict().items()):
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
) -> TrunkCache:
    """Open the cached views that are there and whole, compute the others.

    folder: holds one sub-folder for each key; the key is the hash of images, trunk weights, transform and code version.
    A view appears as a whole file or not at all, so a killed build goes on with the view it was at.
    advance: called with the number of images done, for views found in the cache too.
    """
    described = {
        "images": hashlib.sha256("\n".join(image_sha256).encode()).hexdigest(),
        "trunk": weights_sha256(backbone),
        "backbone": backbone.spec.name,
        "cut": backbone.cut,
        "size": backbone.spec.input_size,
        "augment": versions.VIEWS,
        "code": versions.TRUNK,
    }
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]
    home = folder / key
    home.mkdir(parents=True, exist_ok=True)
    for left_over in home.glob(".view-*.npy"):  # of a killed build; a build in progress keeps writing to its own
        if time.time() - left_over.stat().st_mtime > STALE_SECONDS:
            left_over.unlink(missing_ok=True)
    opened = []
    for view in range(views):
        path = home / (f"view-{view}-seed-{seed}.npy" if view else "view-0.npy")
        if not _is_whole(path):
            _compute(path, backbone, image_sha256, read_pixels, view, seed, batch_size, device, advance)
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


def _compute(
    path: Path,
    backbone: Backbone,
    image_sha256: Sequence[str],
    read_pixels: PixelReader,
    view: int,
    seed: int,
    batch_size: int,
    device: str,
    advance: Callable[[int], None],
) -> None:
    with whole_file(path) as temporary:
        with temporary.open("wb") as stream:  # not a memory map: on a full disk that ends the process without a word
            for rows in _batches(len(image_sha256), batch_size):
                pixels = read_pixels(rows)
                if view:
                    pixels = augment.augmented_view(
                        pixels, seeds=_seeds([image_sha256[row] for row in rows], view, seed)
                    )
                made = trunk_maps(backbone, pixels, device=device)
                if rows.start == 0:
                    header = {"descr": "<f2", "fortran_order": False, "shape": (len(image_sha256), *made.shape[1:])}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(made.tobytes())
                advance(len(rows))
        with temporary.open("rb") as stream:
            write_whole(path.with_suffix(".sha256"), hashlib.file_digest(stream, "sha256").hexdigest())


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

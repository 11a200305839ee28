"""Locating and downloading pretrained weights: --weights PATH, the local model folder, the caches, then the hub."""

import shutil
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from engine.digests import file_sha256, members
from engine.errors import InputError
from engine.files import flush, whole_file
from engine.pretrained import hub
from engine.pretrained.hub import disk_full

if TYPE_CHECKING:
    from torch import nn

SILENCE = 30
"""Timeout in seconds for a server that stops sending."""


class MissingWeightsError(InputError):
    """The weights are not on this machine and could not be downloaded; the message names the command that does."""


@dataclass(frozen=True)
class Weights:
    """Published weights: their purpose, download size, licence and exact source."""

    name: str
    role: str
    """The kind of component that needs them, for error messages: backbone or embedder."""
    megabytes: int
    """Download size in 10^6 bytes, rounded."""
    licence: str
    files: tuple[str, ...]
    """File names or patterns within the source; the first is the checkpoint, which is required."""
    sha256: str
    """The checkpoint's hash, or its first digits if the publisher gives no more; "" if it is unknown."""
    repo: str = ""
    """Hugging Face repository, or "" if `url` is the source."""
    revision: str = ""
    """Commit of the repository."""
    url: str = ""
    """Address of the file, for weights outside the Hugging Face hub."""

    @property
    def source(self) -> str:
        """Where they are published, for messages."""
        return f"{self.repo} at {self.revision[:12]}" if self.repo else self.url

    def is_in(self, folder: Path) -> bool:
        """Whether `folder` holds the checkpoint."""
        return folder.is_dir() and next(folder.glob(self.files[0]), None) is not None


REGISTRY = {
    weights.name: weights
    for weights in (
        Weights(
            name="efficientnet_b3",
            role="backbone",
            megabytes=49,
            licence="BSD-3-Clause",
            files=("efficientnet_b3_rwightman-b3899882.pth",),
            sha256="b3899882",
            url="https://download.pytorch.org/models/efficientnet_b3_rwightman-b3899882.pth",
        ),
        Weights(
            name="resnet50",
            role="embedder",
            megabytes=103,
            licence="BSD-3-Clause",
            files=("resnet50-11ad3fa6.pth",),
            sha256="11ad3fa6",
            url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        ),
        Weights(
            name="clip",
            role="embedder",
            megabytes=605,
            licence="MIT",
            files=("open_clip_model.safetensors",),
            sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            repo="timm/vit_base_patch32_clip_224.openai",
            revision="a6f597a30f7b82c51704746581f9a4e41421e878",
        ),
        Weights(
            name="biomedclip",
            role="embedder",
            megabytes=784,
            licence="MIT",
            files=("open_clip_pytorch_model.bin", "open_clip_config.json", "*token*.json", "vocab.txt"),
            sha256="52cc993c5c5ff962bd0c60931874bc001e7e9b41666a385530f4a036294576be",
            repo="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
            revision="9f341de24bfb00180f1b847274256e9b65a3a32e",
        ),
    )
}


def spec(name: str) -> Weights:
    """The weights published under `name`. Raises InputError for an unknown name."""
    if name not in REGISTRY:
        raise InputError(f"model '{name}' has no weights to fetch; known: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def on_disk(name: str, *, models: Path | None = None) -> Path | None:
    """The folder that holds the weights: models/NAME, else the cache of the hub or of torch. None if there is none."""
    wanted = spec(name)
    if models is not None and wanted.is_in(models / name):
        return models / name
    cached = _from_hub(wanted, local_files_only=True) if wanted.repo else _torch_cache()
    return cached if cached is not None and wanted.is_in(cached) else None


def locate(name: str, *, models: Path | None = None, weights: Path | None = None) -> Path:
    """The folder with the weights of `name`, or `weights` itself (a file or folder) if given.

    models: the local model folder. Weights that are not on this machine are downloaded into the cache.
    Raises InputError if `weights` does not exist or is a folder without the checkpoint, MissingWeightsError if the
    download fails, and OSError if the disk is full.
    """
    wanted = spec(name)
    if weights is not None:
        if not weights.exists() or (weights.is_dir() and not wanted.is_in(weights)):
            raise InputError(f"weights for '{name}': {weights} is neither a file nor a folder with {wanted.files[0]}")
        return weights
    found = on_disk(name, models=models)
    if found is not None:
        return found
    try:
        if not wanted.repo:
            return _download(wanted, _torch_cache())
        fetched = _from_hub(wanted)
        assert fetched is not None
        return fetched
    except OSError as error:
        if full := disk_full(error):
            raise full from None
        raise MissingWeightsError(
            f"{wanted.role} '{name}' needs {wanted.megabytes} MB of weights that are not on this machine; "
            f"fetch them with: python -m jobs fetch_models {name}"
        ) from error


def fetch(name: str, *, models: Path) -> Path:
    """Download the weights of `name` into models/NAME, check their hash, and return the folder.

    The folder appears whole or not at all. An interrupted download of a repository keeps the files that are complete;
    an interrupted download of a single file starts again.
    Raises InputError if the source does not answer, refuses, or sends a file with another hash than the registry's, or
    if the files cannot be written.
    """
    wanted, target, partial = spec(name), models / name, models / f".{name}.partial"
    if wanted.is_in(target):
        return target
    if target.exists():
        raise InputError(f"{target} is there but holds no {wanted.files[0]}; remove it, or copy the file into it")
    try:
        if wanted.repo:
            _from_hub(wanted, local_dir=partial)
        else:
            _download(wanted, partial)
        _verify(wanted, partial)
    except OSError as error:
        raise _unfetched(wanted, target, error) from error
    finally:
        if not any(file.stat().st_size for file in members(partial)):
            shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    for file in members(partial):
        flush(file)
    partial.rename(target)
    return target


def check(name: str, folder: Path) -> None:
    """Raises InputError if the checkpoint of `name` in `folder` differs from the published one."""
    wanted = spec(name)
    checkpoint = next(folder.glob(wanted.files[0]))
    if not (found := file_sha256(checkpoint)).startswith(wanted.sha256):
        raise InputError(
            f"{wanted.role} '{name}': {checkpoint} has sha256 {found[:12]}, expected {wanted.sha256[:12]}; delete it "
            "to fetch it anew"
        )


def torchvision_file(name: str, *, models: Path | None = None, weights: Path | None = None) -> Path:
    """The checkpoint file of a torchvision model, named as in REGISTRY. Raises as `locate` does."""
    path = locate(name, models=models, weights=weights)
    return path / spec(name).files[0] if path.is_dir() else path


def load_torchvision(
    network: "nn.Module", name: str, *, models: Path | None = None, weights: Path | None = None
) -> Path:
    """Load the published weights of a torchvision model into it; returns their file.

    Raises as `torchvision_file` does, and InputError if the file is damaged or another model's.
    """
    import torch

    file = torchvision_file(name, models=models, weights=weights)
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged or foreign file fails in torch, zip and pickle, with various errors
        raise InputError(
            f"{spec(name).role} '{name}': {file} cannot be loaded ({hub.one_line(error)}); fetch it again"
        ) from error
    return file


def _unfetched(wanted: Weights, target: Path, error: OSError) -> InputError:
    """An error that says why the weights could not be downloaded into `target`, and what to do."""
    what = f"{wanted.role} '{wanted.name}'"
    if disk_full(error):
        return InputError(
            f"{what} needs {wanted.megabytes} MB, for which {target.parent} has no space left; free some, or choose "
            "another folder with --models"
        )
    if closed := hub.unwritable(error):
        return InputError(
            f"{what} cannot be written to {target.parent} ({closed.strerror}); choose another folder with --models"
        )
    if why := hub.refusal(error, wanted.repo):
        return InputError(f"{what} could not be fetched from {wanted.source}: {why}")
    return InputError(
        f"{what} could not be fetched from {wanted.source} ({hub.one_line(error)}); connect this machine, or copy "
        f"{', '.join(wanted.files)} into {target}"
    )


def _from_hub(wanted: Weights, *, local_files_only: bool = False, local_dir: Path | None = None) -> Path | None:
    """A snapshot of the repository's files, in the cache or `local_dir`; None if `local_files_only` and not cached.

    Raises OSError if the hub does not answer or refuses.
    """
    if local_files_only:
        return hub.cached(wanted.repo, wanted.files, revision=wanted.revision)
    hub.listed(wanted.repo, revision=wanted.revision)
    return hub.fetched(wanted.repo, wanted.files, revision=wanted.revision, local_dir=local_dir)


def _torch_cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(wanted: Weights, folder: Path) -> Path:
    """Download the single file of `wanted` into `folder`. Raises OSError if that fails or the file has another hash."""
    file = folder / wanted.files[0]
    with whole_file(file) as temporary:
        try:
            _receive(wanted.url, temporary)
        except HTTPException as error:
            raise OSError(str(error) or type(error).__name__) from error
        if not (found := file_sha256(temporary)).startswith(wanted.sha256):
            raise OSError(f"invalid hash value (expected {wanted.sha256}, got {found[:12]})")
    return folder


def _receive(url: str, file: Path) -> None:
    """Download a URL to a file. Raises OSError, also for a truncated download, and HTTPException."""
    with urllib.request.urlopen(url, timeout=SILENCE) as source, file.open("wb") as stream:  # noqa: S310  # the registry's
        length = int(source.headers["Content-Length"] or 0)
        shown = {"desc": "fetching", "unit": "B", "unit_scale": True, "leave": False}
        with tqdm.wrapattr(source, "read", total=length or None, **shown) as counted:
            shutil.copyfileobj(counted, stream)
        if length and stream.tell() != length:
            raise OSError(f"it broke off after {stream.tell():,} of {length:,} bytes")


def _verify(wanted: Weights, folder: Path) -> None:
    checkpoint = next(folder.glob(wanted.files[0]), None)
    if checkpoint is None:
        raise InputError(f"{wanted.source} holds no {wanted.files[0]}")
    if wanted.sha256 and not (found := file_sha256(checkpoint)).startswith(wanted.sha256):
        shutil.rmtree(folder)
        raise InputError(
            f"{wanted.role} '{wanted.name}': {checkpoint.name} from {wanted.source} has sha256 {found[:12]}, "
            f"expected {wanted.sha256[:12]}; the download was thrown away"
        )

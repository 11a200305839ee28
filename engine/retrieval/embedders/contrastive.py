"""Contrastive embedders, with images and texts in one space: CLIP, BiomedCLIP and any other open_clip model."""

import hashlib
import json
import logging
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from engine import devices
from engine.digests import file_sha256
from engine.errors import InputError
from engine.imaging.images import Pixels
from engine.pretrained import hub
from engine.pretrained import weights as published
from engine.pretrained.hub import disk_full, one_line
from engine.reporting.matching import DENIAL
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Plain, Sources, fitted, unit
from engine.retrieval.text.alignment import NOTHING_KNOWN, Known

if TYPE_CHECKING:
    import torch
    from torchvision.transforms import Compose

BATCH = 64
PREFIX = "open_clip:"
"""Prefix for the name of any open_clip model: ARCHITECTURE/PRETRAINED or hf-hub:ORG/NAME."""
IGNORED_NEGATION = "models of this kind mostly ignore '{}': hits may show what it denies"
"""Warning for a text with a negation (Alhamoud et al. 2025, Vision-Language Models Do Not Understand Negation)."""
CHECKPOINTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "*.safetensors", "*.bin", "*.pt", "*.pth")
"""File names of a checkpoint, the most specific first; an open_clip repository has one of the first two."""
DESCRIPTION = "open_clip_config.json"
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""File names of a tokenizer's vocabulary; a folder has one of them."""
BESIDE = ("*config.json", "*token*.json", "vocab.*", "merges.txt", "*.model")
"""Patterns of a repository's small files: model description and tokenizer."""
BERT_BASE = re.compile(r"(Biomed|PubMed)BERT-base-uncased|(^|/)bert-base-uncased$")
"""Text towers with the architecture of BERT-base, transformers' default, such as BiomedCLIP's (Gu et al. 2021,
section 3)."""
LONGEST = 16
"""Maximum aspect ratio of an image before its ends are cut off: scaled until its short side fits, an image of 1 x 5,000
pixels would have 250 million. No radiograph comes near."""

_LOADING = threading.RLock()
"""Held while a model is loaded; see `_quiet`."""


class OpenClipEmbedder(Plain):
    """An open_clip model: images and texts in one space."""

    def __init__(self, name: str, revision: str, model: Any, tokenizer: Any, transform: "Compose") -> None:
        """transform: the model's own image preprocessing."""
        self.name, self.revision = name, revision[:16]
        self._device = devices.available()
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._tokenizer, self._lock = tokenizer, threading.Lock()
        *self._resizing, _colours, _tensor, self._normalise = transform.transforms
        self.dimension = self.embed_texts(["chest radiograph"]).shape[1]

    def fit(self, picture: Pixels) -> Pixels:
        """See Embedder. As in the model's training: most crop the central square, some stretch or pad the image."""
        height, width = picture.shape
        top, left = max(0, height - LONGEST * width) // 2, max(0, width - LONGEST * height) // 2
        resized = Image.fromarray(picture[top : height - top, left : width - left])
        for step in self._resizing:
            resized = step(resized)
        return np.array(resized)

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        import torch

        fitting = fitted(pixels, self.fit)
        made = [np.empty((0, self.dimension), np.float32)]
        with torch.inference_mode(), torch.autocast(self._device, dtype=torch.bfloat16):
            for start in range(0, len(fitting), BATCH):
                grey = torch.from_numpy(fitting[start : start + BATCH]).to(self._device).unsqueeze(1)
                images = self._normalise((grey / 255).expand(-1, 3, -1, -1))
                made.append(self._model.encode_image(images).float().cpu().numpy())
        return unit(np.concatenate(made))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See Embedder. Text beyond the model's context length is cut off."""
        import torch

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with torch.inference_mode():
            return unit(self._model.encode_text(self._tokens(texts).to(self._device)).float().cpu().numpy())

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """A warning if a text exceeds the model's context length or contains a negation; else None. known: not used,
        since the model was trained on image-text pairs."""
        longest = self._tokenizer.context_length
        short, long = (self._tokens([text, ""], length=length).sum(dim=1) for length in (longest, longest + 1))
        added, padding = long - short  # what one more token adds, for the text and for an empty one
        if added != padding:
            return f"only the beginning of these words counts: this embedder reads {longest} tokens at most"
        denial = DENIAL.search(text)
        return IGNORED_NEGATION.format(denial[0]) if denial else None

    def _tokens(self, texts: Sequence[str], *, length: int | None = None) -> "torch.Tensor":
        """int64 (n, length), by default the model's context length. One call at a time: tokenizers of transformers
        store truncation settings, and pages call this from several threads."""
        with self._lock:
            tokens: torch.Tensor = self._tokenizer(list(texts), context_length=length)
        return tokens


def published_clip(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """A model of `pretrained.weights`, described by the open_clip_config.json beside it, or else OpenAI's ViT-B/32."""
    known = published.spec(wanted.name)
    found = published.locate(wanted.name, models=sources.models, weights=sources.weights)
    folder, checkpoint = (found, None) if found.is_dir() else (found.parent, found)
    checkpoint = checkpoint or next(folder.glob(known.files[0]))
    described = (folder / DESCRIPTION).is_file()
    if not described and DESCRIPTION in known.files:
        raise InputError(
            f"weights for '{wanted.name}': {folder} lacks {DESCRIPTION}; copy {', '.join(known.files[1:])} of "
            f"{known.source} into it"
        )
    return _loaded(wanted.name, f"local-dir:{folder}" if described else "ViT-B-32-quickgelu", checkpoint)


def any_clip(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """open_clip:ARCHITECTURE/PRETRAINED or open_clip:hf-hub:ORG/NAME, from --weights, the model folder, or the hub.

    A folder holds a checkpoint, and an open_clip_config.json unless open_clip knows the architecture.
    Raises InputError if open_clip knows no such model, MissingWeightsError if its weights cannot be found.
    """
    import open_clip

    name = wanted.name.removeprefix(PREFIX)
    architecture, _, tag = name.partition("/")
    checkpoint = _here(wanted.name, sources)
    repo = name.removeprefix("hf-hub:") if name.startswith("hf-hub:") else None
    if repo and checkpoint is None:
        checkpoint = _described(wanted.name, repo)
    if checkpoint is not None and (checkpoint.parent / DESCRIPTION).is_file():
        return _loaded(wanted.name, f"local-dir:{checkpoint.parent}", checkpoint)
    if repo and checkpoint is not None:
        raise InputError(f"weights for '{wanted.name}': {checkpoint.parent} lacks {DESCRIPTION}")
    if architecture not in open_clip.list_models():
        raise InputError(
            f"embedder '{wanted.name}': open_clip knows no architecture '{architecture}'; write open_clip:ARCHITECTURE/"
            "PRETRAINED, such as open_clip:ViT-B-16/laion2b_s34b_b88k, or open_clip:hf-hub:ORG/NAME"
        )
    known = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    if checkpoint is None and not known.get("hf_hub"):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none; name a file with --weights"
        raise InputError(f"embedder '{wanted.name}' names no weights of '{architecture}' that open_clip knows: {tags}")
    return _loaded(wanted.name, architecture, checkpoint or _from_hub(wanted.name, known["hf_hub"]), published_as=known)


def _here(name: str, sources: Sources) -> Path | None:
    """The checkpoint at --weights or in the model folder; None if there is neither. Raises InputError if --weights does
    not exist, or a folder holds no checkpoint."""
    if sources.weights is not None and not sources.weights.exists():
        raise InputError(f"weights for '{name}': {sources.weights} does not exist")
    place = sources.weights or (sources.models / folder_name(name) if sources.models else None)
    if place is None or not place.exists():
        return None
    if place.is_file():
        return place
    for pattern in CHECKPOINTS:
        for file in sorted(place.glob(pattern)):
            return file
    raise InputError(f"weights for '{name}': {place} holds no checkpoint ({', '.join(CHECKPOINTS)})")


def folder_name(name: str) -> str:
    """An embedder's name as a folder name: anything but letters, digits, points and dashes becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", name)


def _described(name: str, repo: str) -> Path:
    """The checkpoint of an open_clip repository of the hub, with its description of the same commit beside it. Raises
    InputError if there is no description."""
    checkpoint = _from_hub(name, f"{repo}/")
    if not (checkpoint.parent / DESCRIPTION).is_file():  # another program downloaded only the checkpoint
        try:
            hub.kept(repo, (DESCRIPTION,), beside=BESIDE, revision=checkpoint.parent.name)
        except (OSError, InputError) as error:
            if full := disk_full(error):
                raise full from None
            raise InputError(
                f"embedder '{name}': hf-hub:{repo} has no readable {DESCRIPTION} ({one_line(error)}); name an "
                "open_clip repository, or copy it with its checkpoint into the model folder as "
                f"{folder_name(name)}"
            ) from error
    return checkpoint


def _from_hub(name: str, source: str) -> Path:
    """The checkpoint at ORG/NAME/ or ORG/NAME/FILE, from the hub's cache or the hub, with its small files beside it.

    Raises InputError if the name is invalid or the hub refuses, MissingWeightsError if the hub cannot be reached.
    """
    repo, _, file = source.rpartition("/")
    names = (str(Path(file).with_suffix(".safetensors")), file) if file else CHECKPOINTS[:2]
    copied = f"copy the checkpoint into the model folder as {folder_name(name)}"
    try:
        return hub.kept(repo, names, beside=BESIDE)
    except InputError as error:
        raise InputError(f"embedder '{name}': {error}") from error
    except ValueError as error:  # not a valid repository name
        raise InputError(f"embedder '{name}': {one_line(error)}; write open_clip:hf-hub:ORG/NAME") from error
    except OSError as error:
        if full := disk_full(error):
            raise full from None
        if closed := hub.unwritable(error):
            raise InputError(
                f"embedder '{name}' needs weights, and the hub's cache cannot be written ({closed.strerror}: "
                f"{closed.filename}); set HF_HOME to a folder that can, or {copied}"
            ) from error
        if why := hub.refusal(error, repo):
            raise InputError(f"embedder '{name}': {why}") from error
        raise published.MissingWeightsError(
            f"embedder '{name}' needs weights that are not on this machine, and {source} cannot be reached "
            f"({one_line(error)}); connect it, or {copied}"
        ) from error


def _loaded(
    name: str, architecture: str, checkpoint: Path, *, published_as: Mapping[str, Any] = MappingProxyType({})
) -> Embedder:
    """The model of that open_clip architecture with these weights. Raises InputError if they do not match.

    published_as: open_clip's configuration of the weights: activation and image preprocessing.
    """
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

    try:
        text = dict(open_clip.get_model_config(architecture)["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"embedder '{name}': {checkpoint.parent / DESCRIPTION} describes no model ({one_line(error)}); "
            "fetch it again"
        ) from error
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        tokenizer = _tokenizer(name, architecture, text, checkpoint)
        if text.get("hf_model_name"):
            shape = _text_shape(name, text["hf_model_name"], checkpoint, Path(scratch))
            text |= {"hf_model_name": str(shape), "hf_model_pretrained": False}
        how = {"load_weights": False, "pretrained_text": False, "text_cfg": text}
        try:
            model = open_clip.create_model(architecture, force_quick_gelu=bool(published_as.get("quick_gelu")), **how)
            open_clip.load_checkpoint(model, str(checkpoint), weights_only=True)
        except OSError as error:
            raise InputError(f"embedder '{name}': {checkpoint} cannot be read ({one_line(error)})") from error
        except Exception as error:  # a damaged or foreign file fails in any of three libraries, with various errors
            if "TorchScript" in str(error):  # as OpenAI's own .pt files are
                raise InputError(
                    f"embedder '{name}': {checkpoint} is a program of TorchScript, which is not run; take the same "
                    "weights as safetensors"
                ) from error
            raise InputError(
                f"embedder '{name}': {checkpoint} cannot be loaded ({one_line(error)}); fetch it again"
            ) from error
    preparation = merge_preprocess_dict(open_clip.get_model_preprocess_cfg(model), dict(published_as))
    try:
        transform = image_transform_v2(PreprocessCfg(**preparation), is_train=False)
        transform(Image.new("L", (2, 3)))
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"embedder '{name}': {checkpoint.parent / DESCRIPTION} asks for pictures that open_clip cannot prepare "
            f"({preparation}); fetch it again"
        ) from error
    return OpenClipEmbedder(name, _revision(file_sha256(checkpoint), preparation), model, tokenizer, transform)


def _revision(weights: str, preparation: Mapping[str, Any]) -> str:
    """A sha256 of the weights' hash and the image preprocessing; the weights' own hash if images are stretched to a
    square with bicubic interpolation, as earlier versions did for every model, so that such indexes stay valid."""
    if preparation["resize_mode"] == "squash" and preparation["interpolation"] != "bilinear":
        return weights
    return hashlib.sha256(f"{weights} {json.dumps(preparation, sort_keys=True)}".encode()).hexdigest()


def _tokenizer(name: str, architecture: str, text: Mapping[str, Any], checkpoint: Path) -> Any:
    """The model's tokenizer: open_clip's, or one of transformers from files beside the checkpoint, else from the hub.

    A description may request that a repository's own code be run; that is never done. Raises InputError if the
    tokenizer cannot be found or read.
    """
    import open_clip
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer

    named, folder = text.get("hf_tokenizer_name"), checkpoint.parent
    if not named:
        return open_clip.get_tokenizer(architecture)
    options = {**(text.get("tokenizer_kwargs") or {}), "trust_remote_code": False}
    options |= {"context_length": text.get("context_length", DEFAULT_CONTEXT_LENGTH)}
    try:
        if not any((folder / file).is_file() for file in TOKENIZERS):
            folder = hub.kept(named, TOKENIZERS, beside=BESIDE).parent
        return HFTokenizer(str(folder), tokenizer_mode=text.get("tokenizer_mode"), **options)
    except Exception as error:  # the hub's errors, and those of two libraries that read the files
        raise _unhad(name, f"its tokenizer, {named},", f"copy its files beside {checkpoint}", error) from error


def _text_shape(name: str, tower: str, checkpoint: Path, scratch: Path) -> Path:
    """The folder with the text tower's config.json: `text` beside the checkpoint, else BERT-base's if the tower has
    that architecture, else from the hub. Raises InputError if there is none."""
    from transformers import AutoConfig, BertConfig

    folder = checkpoint.parent / "text"
    try:
        if not (folder / "config.json").is_file():
            if BERT_BASE.search(tower):
                BertConfig().save_pretrained(scratch)
                return scratch
            folder = hub.kept(tower, ("config.json",)).parent
        AutoConfig.from_pretrained(folder, trust_remote_code=False)  # open_clip would ask whether to run its code
        return folder
    except Exception as error:  # the hub's errors, and those of a library that reads the file
        wayout = f"put its config.json into a folder text beside {checkpoint}"
        raise _unhad(name, f"the shape of its text tower, {tower},", wayout, error) from error


def _unhad(name: str, what: str, wayout: str, error: Exception) -> BaseException:
    """The error for a missing part of a model; that of a full disk unchanged."""
    return disk_full(error) or InputError(f"embedder '{name}': {what} cannot be had ({one_line(error)}); {wayout}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's logging on the root logger, including warnings about random weights that are replaced anyway.
    One at a time: of two overlapping calls, the second would restore the silenced state for good."""
    with _LOADING:
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)

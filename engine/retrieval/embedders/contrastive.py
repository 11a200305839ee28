"""Embedders that read pictures and text into one space: CLIP, BiomedCLIP and any other model of open_clip."""

import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from engine import devices
from engine import weights as published
from engine.digests import file_sha256
from engine.errors import InputError
from engine.hub import disk_full, told
from engine.reporting.matching import DENIAL
from engine.retrieval.alignment import NOTHING_KNOWN, Known
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Pixels, Sources, Vectors, sized, unit

BATCH = 64
PREFIX = "open_clip:"
"""Before the name of any model that open_clip knows, as ARCHITECTURE/PRETRAINED or hf-hub:ORG/NAME."""
UNHEEDED = "models of this kind hardly heed '{}': hits may show what it denies"
"""What is said of a text that denies something (Alhamoud et al. 2025, Vision-Language Models Do Not Understand
Negation)."""
CHECKPOINTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "*.safetensors", "*.bin", "*.pt")
"""Names of a checkpoint in a folder, the likeliest first."""


class OpenClipEmbedder:
    """An open_clip model: pictures and texts in one space."""

    def __init__(self, name: str, revision: str, model: Any, tokenizer: Any, preprocessing: dict[str, Any]) -> None:
        import torch

        size = preprocessing["size"]
        self.name, self.revision = name, revision[:16]
        self.input_size = int(size[0] if isinstance(size, (tuple, list)) else size)
        self._device = devices.available()
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._tokenizer = tokenizer
        self._mean, self._std = (
            torch.tensor(preprocessing[part], device=self._device).view(1, 3, 1, 1) for part in ("mean", "std")
        )
        self.dimension = self.embed_texts(["chest radiograph"]).shape[1]

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder. The whole picture is squashed: CLIP's own centre crop would cut lungs off."""
        import torch

        squashed = sized(pixels, self.input_size)
        made = [np.empty((0, self.dimension), np.float32)]
        with torch.inference_mode(), torch.autocast(self._device, dtype=torch.bfloat16):
            for start in range(0, len(squashed), BATCH):
                grey = torch.from_numpy(squashed[start : start + BATCH]).to(self._device).unsqueeze(1)
                made.append(self._model.encode_image((grey / 255 - self._mean) / self._std).float().cpu().numpy())
        return unit(np.concatenate(made))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See Embedder. Words beyond the model's context are left out."""
        import torch

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with torch.inference_mode():
            return unit(self._model.encode_text(self._tokenizer(list(texts)).to(self._device)).float().cpu().numpy())

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """That a text is longer than the model's context, or that it denies something; else None, as it learnt from
        pairs of pictures and words."""
        longest = self._tokenizer.context_length
        tokens = self._tokenizer([text, ""], context_length=longest + 1)
        if tokens[0, -1] != tokens[1, -1]:  # what fills up
            return f"only the beginning of these words counts, as far as this embedder reads ({longest} tokens)"
        denial = DENIAL.search(text)
        return UNHEEDED.format(denial[0]) if denial else None


def published_clip(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """A model of engine.weights, with its own open_clip_config.json beside it, or else of OpenAI's architecture."""
    found = published.locate(wanted.name, models=sources.models, weights=sources.weights)
    folder, checkpoint = (found, None) if found.is_dir() else (found.parent, found)
    checkpoint = checkpoint or next(folder.glob(published.spec(wanted.name).files[0]))
    described = (folder / "open_clip_config.json").is_file()
    return _loaded(wanted.name, f"local-dir:{folder}" if described else "ViT-B-32-quickgelu", checkpoint)


def any_clip(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """open_clip:ARCHITECTURE/PRETRAINED or open_clip:hf-hub:ORG/NAME, from --weights, the model folder, or the hub.

    A folder holds a checkpoint, and open_clip_config.json unless the architecture is one that open_clip knows.
    Raises InputError where open_clip knows no such model, MissingWeightsError where its weights are nowhere.
    """
    import open_clip

    name = wanted.name.removeprefix(PREFIX)
    architecture, _, tag = name.partition("/")
    checkpoint = _here(wanted.name, sources)
    if checkpoint is not None and (checkpoint.parent / "open_clip_config.json").is_file():
        return _loaded(wanted.name, f"local-dir:{checkpoint.parent}", checkpoint)
    if name.startswith("hf-hub:"):
        if checkpoint is not None:
            raise InputError(f"weights for '{wanted.name}': {checkpoint.parent} lacks open_clip_config.json")
        return _loaded(wanted.name, name, _from_hub(wanted.name, {"hf_hub": f"{name.removeprefix('hf-hub:')}/"}))
    if architecture not in open_clip.list_models():
        raise InputError(
            f"embedder '{wanted.name}': open_clip knows no architecture '{architecture}'; write open_clip:ARCHITECTURE/"
            "PRETRAINED, such as open_clip:ViT-B-16/laion2b_s34b_b88k, or open_clip:hf-hub:ORG/NAME"
        )
    known = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    if checkpoint is None and not known:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none; name a file with --weights"
        raise InputError(f"embedder '{wanted.name}' names no weights of '{architecture}' that open_clip knows: {tags}")
    return _loaded(wanted.name, architecture, checkpoint or _from_hub(wanted.name, known), published_as=known or {})


def _here(name: str, sources: Sources) -> Path | None:
    """The checkpoint at --weights or in the model folder; None where neither is there. Raises InputError where what is
    named does not exist or holds none."""
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
    """An embedder's name as one folder's: what is no letter, digit, point, dash or underscore becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", name)


def _from_hub(name: str, source: dict[str, Any]) -> Path:
    """The checkpoint, from the hub's cache or the hub. Raises MissingWeightsError where it is in neither."""
    from open_clip.pretrained import download_pretrained

    try:
        _answers(source)
        return Path(download_pretrained(source))
    except Exception as error:  # each of open_clip's sources fails in a way of its own
        if full := disk_full(error):
            raise full from None
        raise published.MissingWeightsError(
            f"embedder '{name}' needs weights that are not on this machine, and "
            f"{source.get('hf_hub') or source.get('url')} cannot be reached ({told(error)}); connect it, or copy the "
            f"checkpoint into the model folder as {folder_name(name)}"
        ) from error


def _answers(source: Mapping[str, Any]) -> None:
    """One request to the hub that fails at once, where open_clip tries for 46 s; none where the cache has the file."""
    from huggingface_hub import model_info, try_to_load_from_cache

    repository, _, file = str(source.get("hf_hub") or "").rpartition("/")
    if not repository:
        return
    files = (str(Path(file).with_suffix(".safetensors")), file) if file else CHECKPOINTS[:2]
    if not any(isinstance(try_to_load_from_cache(repository, one), str) for one in files):
        model_info(repository, timeout=10)


def _loaded(
    name: str, architecture: str, checkpoint: Path, *, published_as: Mapping[str, Any] = MappingProxyType({})
) -> Embedder:
    """The model of that open_clip architecture with these weights. Raises InputError where they do not fit.

    published_as: what open_clip knows of the weights: their activation, and the mean and deviation of their pictures.
    """
    import open_clip

    folder = checkpoint.parent
    try:
        described = open_clip.get_model_config(architecture) or {}
    except Exception as error:  # it is read from a folder or the hub
        if full := disk_full(error):
            raise full from None
        raise InputError(
            f"embedder '{name}': {architecture} has no open_clip_config.json that can be read ({told(error)}); name a "
            f"repository of open_clip's, or copy it with its checkpoint into the model folder as {folder_name(name)}"
        ) from error
    tower = str(described.get("text_cfg", {}).get("hf_model_name", "BERT"))
    if not (folder / "text" / "config.json").is_file() and ("roberta" in tower or "bert" not in tower.lower()):
        raise InputError(
            f"embedder '{name}' has a text tower of its own, {tower}; put its config.json into a folder text beside "
            f"{checkpoint.name}"
        )
    try:
        with _quiet(), tempfile.TemporaryDirectory() as scratch:
            text = dict(described["text_cfg"])
            if "hf_model_name" in text:
                text |= {"hf_model_name": str(_text_shape(folder, Path(scratch))), "hf_model_pretrained": False}
            shape = {"load_weights": False, "pretrained_text": False, "text_cfg": text}
            gelu = bool(published_as.get("quick_gelu"))
            model = open_clip.create_model(architecture, force_quick_gelu=gelu, **shape)
            open_clip.load_checkpoint(model, str(checkpoint), weights_only=True)
            tokenizer = open_clip.get_tokenizer(architecture)
    except Exception as error:  # a torn or foreign file fails in any of four libraries, each with errors of its own
        cause = str(error).strip().splitlines()[0]
        raise InputError(f"embedder '{name}': {checkpoint} cannot be loaded ({cause}); fetch it anew") from error
    preprocessing = open_clip.get_model_preprocess_cfg(model)
    preprocessing |= {part: published_as[part] for part in ("mean", "std") if part in published_as}
    return OpenClipEmbedder(name, file_sha256(checkpoint), model, tokenizer, preprocessing)


def _text_shape(folder: Path, scratch: Path) -> Path:
    """Folder with the text tower's config.json, whose shape open_clip otherwise asks the hub for.

    BiomedCLIP's tower is BiomedBERT, which has the shape of BERT-base, transformers' default (Gu et al. 2021, sec. 3).
    """
    if (folder / "text" / "config.json").is_file():
        return folder / "text"
    from transformers import BertConfig

    BertConfig().save_pretrained(scratch)
    return scratch


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from narrating on the root logger, and from warning of random weights that are about to go."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

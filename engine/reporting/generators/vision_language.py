"""Reports by a local vision-language model of the transformers library."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2  # the HTTP client of huggingface_hub, whose errors it lets through
import psutil
import torch
from huggingface_hub import file_exists, hf_hub_download, model_info, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError, XetDownloadError
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

from engine.digests import file_sha256
from engine.errors import InputError
from engine.pretrained import hub
from engine.pretrained.hub import causes, disk_full, one_line
from engine.pretrained.weights import MissingWeightsError
from engine.reporting.generators import Case, Failed, Generated, Options, Outcome
from engine.reporting.generators.pictures import shown, squared
from engine.reporting.generators.published import PUBLISHED
from engine.reporting.prompts import PromptStrategy

WORKING_SPACE = 3
"""Upper bound of a model's memory, as a multiple of its files: float32 from half precision, plus working space."""
SAFE = ("model.safetensors", "model.safetensors.index.json")
"""Entry files of weights, single or sharded."""
UNAVAILABLE = (OSError, httpx2.HTTPError, XetDownloadError)
"""Errors for missing files and a hub that does not answer or refuses; the hub's own errors are OSErrors."""
QUESTION = "Question: {prompt} Answer:"
"""The prompt format of a model without a chat template, BLIP-2."""


class VisionLanguage:
    """`blip2`, `medgemma`, `llava`, or `hf:ORG/NAME`: greedy decoding, bfloat16 on a GPU, no code from repositories.

    Weights are searched for in the local model folder (by name or ORG/NAME), in the hub's cache and on the hub. A
    cached repository stays at the cached commit, whatever the hub has since.
    """

    reads_pixels = True
    reads_prediction = False
    reads_nearest = 0

    def __init__(self, name: str, options: Options) -> None:
        known = PUBLISHED.get(name)
        repo = known.repo if known else name.removeprefix("hf:")
        if not known and repo.count("/") != 1:
            raise InputError(f"a model of the hub is written hf:ORG/NAME; got '{name}'")
        self.name, self.repo = name, repo
        self.batch_size = options.batch_size
        dtype = number_type()
        source = local(options.models, name, repo) or repo
        if known:
            bits = options.quantise or dtype.itemsize * 8
            needed = known.gigabytes * bits / 16
            self._require_memory(min(needed, WORKING_SPACE * gigabytes_in(source)))
        self.processor, self.model, self.revision = self._loaded(source, options, dtype)
        self.processor.tokenizer.padding_side = "left"
        if self.processor.tokenizer.pad_token is None:
            self.processor.tokenizer.pad_token = self.processor.tokenizer.eos_token
        settings = {
            "do_sample": False,
            "max_new_tokens": options.max_tokens,
            "seed": options.seed,
            "quantise": options.quantise,
            "dtype": str(dtype).removeprefix("torch."),
        }
        self.settings: Mapping[str, Any] = MappingProxyType(settings | ({"padded": True} if self._crops else {}))

    def _loaded(self, source: Path | str, options: Options, dtype: torch.dtype) -> tuple[Any, Any, str]:
        """(processor, model, revision). Raises InputError with one line about network, token, memory, or an unsuitable
        model; OSError if the disk is full."""
        token = hub.token()
        how: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
        if torch.cuda.is_available():
            how["device_map"] = "auto"
        if options.quantise:
            if not torch.cuda.is_available():
                raise InputError("--quantise needs a GPU; leave it out, or choose a smaller model")
            how["quantization_config"] = quantised(options.quantise, dtype)
        shared: dict[str, Any] = {"trust_remote_code": False, "token": token}
        try:
            if isinstance(source, Path):
                revision = revision_of(source)
            else:
                shared["revision"] = revision = commit_of(source, token)
            processor = AutoProcessor.from_pretrained(source, **shared)
            model = AutoModelForImageTextToText.from_pretrained(source, **how, **shared)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"report model '{self.name}' does not fit into the GPU's memory; try --quantise 4"
            ) from error
        except ImportError as error:
            raise InputError(f"report model '{self.name}' needs a package: {one_line(error)}") from error
        except SafetensorError as error:
            raise InputError(
                f"report model '{self.name}': its weights cannot be loaded ({one_line(error)}); fetch them again"
            ) from error
        except UNAVAILABLE as error:
            if full := disk_full(error):
                raise full from None
            raise self._unavailable(error, source, shared.get("revision"), token) from error
        except (ValueError, KeyError) as error:
            raise self._unknown(error) from error
        return processor, model.eval(), revision

    def _unavailable(self, error: Exception, source: Path | str, commit: str | None, token: str | None) -> InputError:
        """An error that says why the files are not available, and what to do."""
        if "file named model.safetensors" in str(error):  # transformers also says so if the hub is down or refuses
            try:
                if lacks_safetensors(source, commit, token):
                    return InputError(f"'{self.repo}' has no safetensors file, and pickled weights are not read")
            except UNAVAILABLE as reason:
                error = reason
        if why := hub.refusal(error, self.repo):
            return InputError(why)
        if RemoteEntryNotFoundError in map(type, causes(error)):
            return self._unknown(error)
        if isinstance(source, Path):
            return MissingWeightsError(
                f"report model '{self.name}': {source} cannot be loaded ({one_line(error)}); "
                "copy the repository there again"
            )
        return MissingWeightsError(
            f"report model '{self.name}' ({self.repo}) is not on this machine and the hub cannot be reached "
            f"({one_line(error)}); connect it, or copy the repository into the model folder as "
            f"{self.name.removeprefix('hf:')}"
        )

    def _unknown(self, error: Exception) -> InputError:
        return InputError(f"'{self.repo}' is not an image-text-to-text model of transformers: {one_line(error)}")

    def _require_memory(self, gigabytes: float) -> None:
        """Raises InputError, which names the memory needed, the free memory and an alternative, if it is too little."""
        if torch.cuda.is_available():
            free = torch.cuda.mem_get_info()[0] / 1e9
        else:
            free = psutil.virtual_memory().available / 1e9  # includes file caches that can be released
        if free >= gigabytes:
            return
        scale = gigabytes / PUBLISHED[self.name].gigabytes
        fitting = [name for name, one in PUBLISHED.items() if one.gigabytes * scale <= free]
        instead = f"choose {' or '.join(fitting)}" if fitting else "use openai:MODEL@URL, or the offline template"
        raise InputError(
            f"report model '{self.name}' needs about {gigabytes:.1f} GB of memory, {free:.1f} GB are free; {instead}"
        )

    @torch.inference_mode()
    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[dict[int, Outcome]]:
        """One report for each case, all at once, by greedy decoding. Raises InputError if memory runs out."""
        began = time.perf_counter()
        torch.manual_seed(self.settings["seed"])
        given = self._given(cases, self._asked(prompt.text))
        try:
            given = given.to(self.model.device, self.model.dtype)
            made = self.model.generate(**given, do_sample=False, max_new_tokens=self.settings["max_new_tokens"])
        except torch.OutOfMemoryError as error:
            raise InputError(self._out_of_memory(len(cases))) from error
        length = given["input_ids"].shape[1]
        if made.shape[1] >= length and torch.equal(made[:, :length], given["input_ids"]):
            made = made[:, length:]
        each = (time.perf_counter() - began) / max(len(cases), 1)
        return [{place: self._report(row, each) for place, row in enumerate(made)}]

    def _out_of_memory(self, count: int) -> str:
        """A message for running out of memory with `count` images at a time, with an alternative that needs less."""
        if count > 1:
            return f"out of memory with {count} images at a time; try --batch-size {count // 2}"
        smaller = "choose a smaller model" if self.settings["quantise"] == 4 else "try --quantise 4, or a smaller model"
        return f"out of memory with one image at a time; {smaller}"

    def _given(self, cases: Sequence[Case], asked: str) -> Any:
        """The model's input: the cases' images, each with the prompt. If the chat template already starts with the
        tokenizer's first special token, the tokenizer does not add it again."""
        pictures = [shown(case.pixels) for case in cases if case.pixels is not None]
        if self._crops:
            pictures = [squared(picture, self.processor.image_processor.image_mean) for picture in pictures]
        first = self.processor.tokenizer.bos_token
        return self.processor(
            images=[[picture] for picture in pictures] if self._chats else pictures,
            text=[asked] * len(cases),
            add_special_tokens=not (first and asked.startswith(first)),
            return_tensors="pt",
            padding=True,
        )

    @property
    def _crops(self) -> bool:
        """Whether the processor crops to the central square, as CLIP's does for LLaVA."""
        return bool(getattr(self.processor.image_processor, "do_center_crop", False))

    @property
    def _chats(self) -> bool:
        return getattr(self.processor, "chat_template", None) is not None

    def _asked(self, text: str) -> str:
        """The prompt in the model's format."""
        if not self._chats:
            return QUESTION.format(prompt=text)
        content = [{"type": "image"}, {"type": "text", "text": text}]
        asked: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return asked

    def _report(self, row: torch.Tensor, seconds: float) -> Generated | Failed:
        tokenizer = self.processor.tokenizer
        own = self.model.generation_config.eos_token_id  # one or more: BLIP-2 ends with its line, Gemma with its turn
        ends = {tokenizer.eos_token_id, tokenizer.pad_token_id, *(own if isinstance(own, list) else [own])}
        tokens = [token for token in row.tolist() if token not in ends]
        text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        if not text:
            return Failed("the answer is empty")
        return Generated(text, seconds, len(tokens), cut=len(tokens) >= self.settings["max_new_tokens"])


def number_type() -> torch.dtype:
    """The type that models compute in: bfloat16 on a GPU that supports it, else float32. Never float16: Gemma 3's
    activations exceed its range, which gives empty reports."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def quantised(bits: int, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Quantisation to 4 or 8 bits. With 4 bits `dtype` must be set explicitly for computing, since the default is
    float32; with 8 bits the model's own type is used."""
    if bits == 4:
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype)
    return BitsAndBytesConfig(load_in_8bit=True)


def gigabytes_in(source: Path | str) -> float:
    """Size of the weights in a folder, in 10^9 bytes; infinite if they are on the hub, whose size is not known."""
    if isinstance(source, str):
        return float("inf")
    return sum(file.stat().st_size for file in source.glob("*.safetensors")) / 1e9


def local(models: Path | None, name: str, repo: str) -> Path | None:
    """The model's folder below `models`, by its short name or ORG/NAME; None if there is none."""
    folders = [models / name.removeprefix("hf:"), models / repo] if models else []
    return next((folder for folder in folders if (folder / "config.json").exists()), None)


def commit_of(repo: str, token: str | None) -> str:
    """The commit in the hub's cache; else the hub's latest, which is cached from then on.

    Raises UNAVAILABLE errors if the hub does not answer or refuses.
    """
    config = try_to_load_from_cache(repo, "config.json")
    if not isinstance(config, str):
        model_info(repo, timeout=10, token=token)  # fails fast, while a download would retry for minutes
        config = hf_hub_download(repo, "config.json", token=token)
    return Path(config).parent.name


def lacks_safetensors(source: Path | str, commit: str | None, token: str | None) -> bool:
    """Whether a folder, or a repository at that commit, lacks a safetensors file that transformers reads. Raises as
    `commit_of` does."""
    if isinstance(source, Path):
        return not any((source / name).exists() for name in SAFE)
    return not any(file_exists(source, name, revision=commit, token=token) for name in SAFE)


def revision_of(folder: Path) -> str:
    """A revision from the hash of a folder's configuration and weights."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return f"local-{hashlib.sha256(''.join(map(file_sha256, files)).encode()).hexdigest()[:16]}"

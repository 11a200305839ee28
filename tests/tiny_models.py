"""Models of the real classes with random weights, a few kilobytes each, saved to disk as the hub has them."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "chest", "radio", "##graph", "pneumonia", "normal", "no"]


def tiny_clip(folder: Path, *, image_size: int | list[int] = 32, preprocess_cfg: dict[str, Any] | None = None) -> Any:
    """A CLIP of OpenAI's kind with random weights, saved as the hub has it, and how it takes pictures."""
    import open_clip

    shape = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": image_size, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    torch.manual_seed(1)
    model = open_clip.CLIP(**json.loads(json.dumps(shape))).eval()
    folder.mkdir(parents=True)
    prepared = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], **(preprocess_cfg or {})}
    described = {"model_cfg": shape, "preprocess_cfg": prepared}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return model


def tiny_biomedclip(folder: Path) -> Any:
    """A timm picture tower and a BERT text tower with random weights, saved as BiomedCLIP is."""
    import open_clip
    from transformers import BertConfig

    folder.mkdir(parents=True)
    BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    ).save_pretrained(folder / "text")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    text = {
        "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
        "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 32,
    }
    vision = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
    shape = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": shape, "preprocess_cfg": {}}))
    torch.manual_seed(2)
    local = {**text, "hf_model_name": str(folder / "text"), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(16, dict(vision), local).eval()
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return model


SPEECH = "pneumonia normal chest no lungs clear the is of right left opacity Question Answer USER ASSISTANT"
MARKS = (".", ",", ":")
CHAT = (
    "{% for m in messages %}USER : {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE {% else %}"
    "{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}ASSISTANT :"
)


def tiny_tokenizer(special: dict[str, str]) -> Any:
    """A tokenizer of a few words, with the special tokens of a model family after the four usual ones. It puts <s>
    before a text, as those of OPT, Llama and Gemma put theirs."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "<s>", "</s>", *special.values(), *SPEECH.split(), *MARKS]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", words.index("<s>"))]
    )
    usual = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, extra_special_tokens=special, **usual)


def spoken(model: Any, processor: Any, folder: Path, *, size: float) -> None:
    """Save both; the weights are made larger, so that another picture makes another text."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mm_input_projection_weight"):
                parameter.normal_(std=0.2)  # Gemma's way from picture to text starts at zero
            parameter.mul_(size)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)


TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 40,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
SIGHT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}


def tiny_blip2(folder: Path) -> None:
    """BLIP-2 with an OPT, as Salesforce/blip2-opt-2.7b is; it has no chat template."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    former = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    shape = Blip2Config(
        vision_config={**SIGHT, "patch_size": 16},
        qformer_config={**former, "encoder_hidden_size": 16, "vocab_size": 40},
        text_config={**TEXT, "model_type": "opt", "ffn_dim": 16, "word_embed_proj_dim": 16},
        num_query_tokens=4,
        image_token_index=4,
    )
    pictures = BlipImageProcessor(size={"height": 32, "width": 32})
    processor = Blip2Processor(pictures, tiny_tokenizer({"picture": "<image>"}), num_query_tokens=4)
    torch.manual_seed(5)
    spoken(Blip2ForConditionalGeneration(shape), processor, folder, size=3)


def tiny_llava(folder: Path) -> None:
    """A CLIP tower and a Llama, as llava-hf/llava-1.5-7b-hf is."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    shape = LlavaConfig(
        vision_config=CLIPVisionConfig(**SIGHT, patch_size=16, projection_dim=16),
        text_config=LlamaConfig(**TEXT, intermediate_size=16, num_key_value_heads=2),
        image_token_index=4,
        image_seq_length=4,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tiny_tokenizer({"image_token": "<image>"}),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )
    torch.manual_seed(5)
    spoken(LlavaForConditionalGeneration(shape), processor, folder, size=10)


def tiny_medgemma(folder: Path) -> None:
    """A SigLIP tower and a Gemma 3, as google/medgemma-4b-it is."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

    shape = Gemma3Config(
        vision_config={**SIGHT, "patch_size": 8},
        text_config={**TEXT, "intermediate_size": 16, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 64},
        mm_tokens_per_image=4,
        boi_token_index=4,
        eoi_token_index=5,
        image_token_index=6,
    )
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": 32, "width": 32}),
        tiny_tokenizer(names),
        image_seq_length=4,
        chat_template="{{ bos_token }}" + CHAT.replace("IMAGE", "<start_of_image>"),
    )
    torch.manual_seed(4)
    spoken(Gemma3ForConditionalGeneration(shape), processor, folder, size=1.5)


def tiny_qwen(folder: Path) -> None:
    """A Qwen2-VL, which takes as many tokens for a picture as the picture is large."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    names = {"start": "<|vision_start|>", "end": "<|vision_end|>", "image": "<|image_pad|>", "video": "<|video_pad|>"}
    sight = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    turned = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10_000.0}
    shape = Qwen2VLConfig(
        vision_config=sight,
        text_config={**TEXT, "intermediate_size": 16, "num_key_value_heads": 2, "rope_parameters": turned},
        vision_start_token_id=4,
        vision_end_token_id=5,
        image_token_id=6,
        video_token_id=7,
    )
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=28 * 28 * 40),
        tiny_tokenizer(names),
        Qwen2VLVideoProcessor(),
        chat_template=CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    torch.manual_seed(5)
    spoken(Qwen2VLForConditionalGeneration(shape), processor, folder, size=5)


def cached(cache: Path, repo: str, commit: str, folder: Path) -> Path:
    """The folder's files as the hub's cache holds those of a repository, `commit` being its latest."""
    place = cache / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(folder, place / "snapshots" / commit))


SPEAKING = {"blip2": tiny_blip2, "llava": tiny_llava, "medgemma": tiny_medgemma}
TINY = {"clip": tiny_clip, "biomedclip": tiny_biomedclip}

"""Models of the real classes with random weights, a few kilobytes each, saved to disk as the hub has them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "chest", "radio", "##graph", "pneumonia", "normal", "no"]


def tiny_clip(folder: Path) -> Any:
    """A CLIP of OpenAI's kind with random weights, saved as the hub has it."""
    import open_clip

    shape = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    torch.manual_seed(1)
    model = open_clip.CLIP(**json.loads(json.dumps(shape))).eval()
    folder.mkdir(parents=True)
    described = {"model_cfg": shape, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}
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


TINY = {"clip": tiny_clip, "biomedclip": tiny_biomedclip}

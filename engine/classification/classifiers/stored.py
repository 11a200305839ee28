"""A checkpoint's weights: written atomically with their hash, read only if they are whole."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save_file
from torch import Tensor

from engine.digests import file_sha256
from engine.errors import InputError
from engine.files import whole_file, whole_folder


def write_weights(folder: Path, state: dict[str, Tensor], form: int, facts: Mapping[str, Any]) -> str:
    """Write model.safetensors, and model.json with format, sha256 and facts, into `folder`, atomically; returns the
    weights' sha256."""
    with whole_folder(folder) as temporary:
        with whole_file(temporary / "model.safetensors") as weights:
            save_file(state, weights)
        revision = file_sha256(temporary / "model.safetensors")
        described = {"format": form, "sha256": revision, **facts}
        (temporary / "model.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    return revision


def read_weights(folder: Path, described: Mapping[str, Any], form: int) -> tuple[dict[str, Tensor], str]:
    """The tensors of model.safetensors, and the file's sha256.

    described: model.json. form: the expected format. Raises InputError if the file cannot be read or does not match.
    """
    try:
        weights = (folder / "model.safetensors").read_bytes()
    except OSError as error:
        raise InputError(f"checkpoint {folder} cannot be read ({error}); train again as its run's page says") from error
    revision = hashlib.sha256(weights).hexdigest()
    if described.get("format") != form or described.get("sha256") != revision:
        raise InputError(f"checkpoint {folder} is torn or of another format; train again as its run's page says")
    return load(weights), revision

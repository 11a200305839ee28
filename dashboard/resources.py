"""Resources shared by all sessions: settings, database engines, vector indexes and models."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from db import schema, session
from db.revision import Watch
from engine.imaging.guarded import GuardedDecoder
from engine.retrieval.index.vector_index import VectorIndex
from settings import Settings, load_settings

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier
    from engine.retrieval.embedders import Embedder

PATIENCE = 10.0
"""Seconds that storing a review waits for a job that is writing."""


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The environment's settings, read once."""
    return load_settings()


def serves_locally_only() -> bool:
    """Whether the dashboard answers only to this machine's own host names."""
    return not settings().allowed_hosts


def artifacts() -> Path:
    """The artifact folder, absolute."""
    return settings().artifacts.resolve()


def engine() -> Engine:
    """A read-only engine; a new one if the SQLite file was replaced. Raises DatabaseUnavailableError."""
    url = settings().database
    return _engine(url, _file_number(url))


def schema_state() -> schema.State:
    """State of the schema; only "current" is cached, so that a page recovers as soon as a job migrates it."""
    state = _schema_state(_file_number(settings().database))
    if state != "current":
        _schema_state.clear()
    return state


def absent_database() -> str | None:
    """Path of the configured SQLite file if it does not exist; else None."""
    url = settings().database
    return make_url(url).database if url.startswith("sqlite") and _file_number(url) is None else None


def _file_number(url: str) -> int | None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None  # connecting reports the error
    file = Path(parsed.database) if parsed.database and parsed.get_backend_name() == "sqlite" else None
    return file.stat().st_ino if file and file.exists() else None


@st.cache_resource(show_spinner=False, max_entries=2)
def _engine(url: str, number: int | None) -> Engine:
    return session.connect(url, read_only=True)


@st.cache_data(show_spinner=False, ttl=60, max_entries=2)
def _schema_state(number: int | None) -> schema.State:
    return schema.state(engine())


def settle_memory() -> None:
    """Exclude everything loaded so far from garbage collection, which Streamlit runs in full after every page.

    Modules live as long as the process anyway; scanning torch's objects costs 150 ms per page, Streamlit's own
    100 ms.
    """
    gc.collect()
    gc.freeze()


def _settle() -> None:
    """After a model is loaded: use one thread per image, and exclude its modules from garbage collection.

    An image of 160 to 224 pixels is too small to parallelise. On a busy machine, or with two users at once, threads
    that wait for each other make it ten times slower.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    settle_memory()


@contextmanager
def reading() -> Iterator[Session]:
    """A short-lived session for the reads of one page; never cached, because a Session belongs to one thread."""
    with Session(engine(), expire_on_commit=False) as opened:
        yield opened


def revision() -> str:
    """A value that changes with every write to the database; the cache key of expensive results."""
    url = settings().database
    return _watch(url, _file_number(url)).revision()


@st.cache_resource(show_spinner=False, max_entries=2)
def _watch(url: str, number: int | None) -> Watch:
    return Watch(engine())


@contextmanager
def writing() -> Iterator[Session]:
    """A session that commits as a whole at the end, for reviews and tags, the only writes of the pages. Raises
    DatabaseUnavailableError or DBAPIError if the database accepts no writes or is still locked by another writer after
    PATIENCE seconds."""
    url = settings().database
    with session.transaction(_writing_engine(url, _file_number(url))) as opened:
        yield opened


@st.cache_resource(show_spinner=False, max_entries=2)
def _writing_engine(url: str, number: int | None) -> Engine:
    return session.connect(url, patience=PATIENCE)


@st.cache_resource(show_spinner=False)
def decoder() -> GuardedDecoder:
    """The process that decodes uploads; the first call starts it without waiting."""
    return GuardedDecoder()


def vector_index(folder: str, sha256: str) -> VectorIndex:
    """Open an index folder; every file is verified when it is opened, and again if it changes on disk, from where its
    vectors are read. Raises IndexDamagedError."""
    here = artifacts() / folder
    stats = {file.name: file.stat() for file in sorted(here.iterdir())} if here.is_dir() else {}
    return _vector_index(folder, sha256, tuple((name, one.st_size, one.st_mtime_ns) for name, one in stats.items()))


@st.cache_resource(show_spinner=False, max_entries=4)
def _vector_index(folder: str, sha256: str, files: tuple[tuple[str, int, int], ...]) -> VectorIndex:
    return VectorIndex.open(artifacts() / folder, sha256=sha256)


@st.cache_resource(show_spinner="Loading the embedder; the first search takes a few seconds.", max_entries=2)
def embedder(name: str, checkpoint: str | None, sha256: str | None, revision: str, weights: Path | None) -> "Embedder":
    """The model that embeds a new image or text; torch is imported here and not before. sha256: of the checkpoint
    folder. revision: of the index. Both are cache keys, so that changed weights are noticed. weights: to use instead of
    those in the embedder's own places."""
    from engine.retrieval.embedders import load_embedder

    folder = artifacts() / checkpoint if checkpoint else None
    loaded = load_embedder(name, models=settings().models, weights=weights, checkpoint=folder)
    _settle()
    return loaded


@st.cache_resource(show_spinner="Loading the classifier; the first image takes a few seconds.", max_entries=2)
def classifier_within(_embedder: Any, revision: str) -> "AnyClassifier":
    """The classifier inside an embedder, cached by the embedder's revision; first loading takes seconds."""
    loaded: AnyClassifier = _embedder.classifier
    _settle()
    return loaded


@st.cache_resource(show_spinner="Loading the classifier; the first image takes a few seconds.", max_entries=2)
def classifier(checkpoint: str, sha256: str) -> "AnyClassifier":
    """The classifier in a checkpoint folder. sha256: of the folder, so that a changed one is noticed."""
    from engine.classification.classifiers.checkpoints import load_classifier

    loaded = load_classifier(artifacts() / checkpoint)
    _settle()
    return loaded

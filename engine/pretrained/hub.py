"""The Hugging Face hub: cached and downloaded files, and error messages that explain what went wrong."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError

from engine.errors import InputError

TOKENS = ("HUGGINGFACE_TOKEN", "HF_TOKEN")
"""Environment variables that may hold the hub's token; it is stored nowhere."""
FULL = re.compile(r"\(os error 28\)|No space left on device")
"""How libraries not written in Python report a full disk."""
NO_TOKEN = f"no token is set in {' or '.join(TOKENS)}"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
"""Error numbers that mean a file cannot be written to a folder."""


def token_variable() -> str | None:
    """The environment variable that holds the hub's token; None if none is set."""
    return next((name for name in TOKENS if os.environ.get(name)), None)


def token() -> str | None:
    """The hub's token, None if none is set; huggingface_hub itself reads only one of TOKENS."""
    variable = token_variable()
    return os.environ[variable] if variable else None


def one_line(error: BaseException) -> str:
    """The error's message on one line of at most 200 characters, with the token removed."""
    text = str(error) or type(error).__name__
    if isinstance(error, UnpicklingError):  # torch.load says at length how to load it unsafely
        text = "it holds no weights, or something beside them that could run code"
    for secret in filter(None, map(os.environ.get, TOKENS)):
        text = text.replace(secret, "[secret]")
    return " ".join(text.split())[:200]


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its chain of causes, the latest first."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def disk_full(error: BaseException) -> BaseException | None:
    """The cause that reports a full disk, or None; the job says what to do about it."""
    full = (one for one in causes(error) if getattr(one, "errno", None) == errno.ENOSPC or FULL.search(str(one)))
    return next(full, None)


def unwritable(error: BaseException) -> OSError | None:
    """The cause that reports a file that cannot be written, for another reason than a full disk; or None."""
    closed = (one for one in causes(error) if isinstance(one, OSError) and one.filename and one.errno in UNWRITABLE)
    return next(closed, None)


def refusal(error: BaseException, repo: str) -> str | None:
    """Why the hub refuses access to the repository, and what to do; None if the error is of another kind."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    variable = token_variable()
    kinds = [type(one) for one in causes(error)]
    if RepositoryNotFoundError in kinds:
        unseen = "the token may not see it" if variable else f"it is private and {NO_TOKEN}"
        return f"the hub has no repository '{repo}', or {unseen}; check the name"
    if GatedRepoError in kinds or "gated repo" in str(error).lower():  # transformers' wording
        what = "the token given has no access" if variable else NO_TOKEN
        return f"'{repo}' is gated and {what}; accept its terms at huggingface.co/{repo}, then set {TOKENS[1]}"
    if 401 in [one.response.status_code for one in causes(error) if isinstance(one, HfHubHTTPError)]:
        place = variable or "the file that `hf auth login` wrote"
        return f"the token in {place} is refused by the hub; put a valid one there, or remove it"
    return None


def cached(repo: str, patterns: Sequence[str], *, revision: str | None = None) -> Path | None:
    """The cache folder with the repository's files that match these patterns, at the commit that the cache holds.

    None if none is there, or one is known to be missing. The hub is not contacted.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns), local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def listed(repo: str, *, revision: str | None = None) -> frozenset[str]:
    """Names of the repository's files, from one request that fails fast; a download would retry for 23 s or more.

    Raises OSError if the hub does not answer or refuses.
    """
    from huggingface_hub import model_info

    with _oserrors():
        info = model_info(repo, revision=revision, timeout=10, token=token())
    return frozenset(file.rfilename for file in info.siblings or ())


def fetched(repo: str, patterns: Sequence[str], *, revision: str | None = None, local_dir: Path | None = None) -> Path:
    """Download the repository's files that match these patterns; returns their folder, in the cache or `local_dir`.

    Raises OSError if the hub does not answer or refuses, or the files cannot be written.
    """
    from huggingface_hub import snapshot_download

    with _oserrors():
        place = snapshot_download(
            repo, revision=revision, allow_patterns=list(patterns), local_dir=local_dir, token=token()
        )
    return Path(place)


def kept(repo: str, names: Sequence[str], *, beside: Sequence[str] = (), revision: str | None = None) -> Path:
    """The path of the first of these files that the repository has, in a folder with those that match `beside`.

    A cached repository stays at the cached commit, whatever the hub has since; the hub is then asked only for missing
    files that match `beside`, and any it does not deliver stay missing.
    Raises InputError if the repository has none of these files, and OSError as `listed` and `fetched` do.
    """
    for name in names:
        folder = cached(repo, (name,), revision=revision)
        if folder is None or not (folder / name).is_file():
            continue
        if cached(repo, beside, revision=revision) is None:
            with suppress(OSError):
                listed(repo, revision=folder.name)
                fetched(repo, beside, revision=folder.name)
        return folder / name
    held = listed(repo, revision=revision)
    for name in names:
        if name in held:
            return fetched(repo, (name, *beside), revision=revision) / name
    raise InputError(f"'{repo}' on the hub holds no {', nor '.join(names)}; name another repository")


@contextmanager
def _oserrors() -> Iterator[None]:
    """Turn errors of the hub's client that are not OSError into OSError."""
    import httpx2  # the HTTP client of huggingface_hub, whose errors it lets through
    from huggingface_hub.errors import XetDownloadError

    try:
        yield
    except OSError:  # every HTTP error status from the hub is one
        raise
    except (httpx2.HTTPError, XetDownloadError) as error:
        raise OSError(str(error) or type(error).__name__) from error

"""The Hugging Face hub: its files, from the cache or fetched, and what goes wrong with it, as an error tells it."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import InputError

TOKENS = ("HUGGINGFACE_TOKEN", "HF_TOKEN")
"""Where the hub's token is read from; it is stored nowhere."""
FULL = re.compile(r"\(os error 28\)|No space left on device")
"""How libraries that are not Python's tell that the disk is full."""
NO_TOKEN = f"no token is set in {' or '.join(TOKENS)}"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
"""What tells that a folder can hold no file."""


def token_variable() -> str | None:
    """The environment variable that the hub's token stands in, None where none does."""
    return next((name for name in TOKENS if os.environ.get(name)), None)


def token() -> str | None:
    """The hub's token, None where none is set; huggingface_hub itself reads but one of TOKENS."""
    variable = token_variable()
    return os.environ[variable] if variable else None


def told(error: BaseException) -> str:
    """The error in one line of at most 200 characters, without the token."""
    said = str(error) or type(error).__name__
    for secret in filter(None, map(os.environ.get, TOKENS)):
        said = said.replace(secret, "[secret]")
    return " ".join(said.split())[:200]


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised for, the latest first."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def disk_full(error: BaseException) -> BaseException | None:
    """That of the causes which says that the disk is full; a job tells what to do about it."""
    full = (one for one in causes(error) if getattr(one, "errno", None) == errno.ENOSPC or FULL.search(str(one)))
    return next(full, None)


def unwritable(error: BaseException) -> OSError | None:
    """That of the causes which says that a file cannot be written where it belongs, for another reason than space."""
    closed = (one for one in causes(error) if isinstance(one, OSError) and one.filename and one.errno in UNWRITABLE)
    return next(closed, None)


def refusal(error: BaseException, repo: str) -> str | None:
    """Why the hub gives nothing of the repository, and the way out; None where that is not what went wrong."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    variable = token_variable()
    kinds = [type(one) for one in causes(error)]
    if RepositoryNotFoundError in kinds:
        unseen = "the token may not see it" if variable else f"it is private and {NO_TOKEN}"
        return f"the hub has no repository '{repo}', or {unseen}; check the name"
    if GatedRepoError in kinds or "gated repo" in str(error).lower():  # as transformers tells it
        what = "the token given has no access" if variable else NO_TOKEN
        return f"'{repo}' is gated and {what}; accept its terms at huggingface.co/{repo}, then set {TOKENS[1]}"
    if 401 in [one.response.status_code for one in causes(error) if isinstance(one, HfHubHTTPError)]:
        place = variable or "the file that `hf auth login` wrote"
        return f"the token in {place} is refused by the hub; put a valid one there, or remove it"
    return None


def cached(repo: str, patterns: Sequence[str], *, revision: str | None = None) -> Path | None:
    """The cache's folder with the repository's files of these patterns, at the commit that the cache holds; None where
    none is there, or one is known to be missing. The hub is not asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns), local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def listed(repo: str, *, revision: str | None = None) -> frozenset[str]:
    """Names of the repository's files, by one request that fails at once, where a download tries for 23 s and more.

    Raises OSError where the hub does not answer or refuses.
    """
    from huggingface_hub import model_info

    with _oserrors():
        info = model_info(repo, revision=revision, timeout=10, token=token())
    return frozenset(file.rfilename for file in info.siblings or ())


def fetched(repo: str, patterns: Sequence[str], *, revision: str | None = None, local_dir: Path | None = None) -> Path:
    """The folder, in the cache or `local_dir`, into which the repository's files of these patterns were fetched.

    Raises OSError where the hub does not answer or refuses, or the files cannot be written.
    """
    from huggingface_hub import snapshot_download

    with _oserrors():
        place = snapshot_download(
            repo, revision=revision, allow_patterns=list(patterns), local_dir=local_dir, token=token()
        )
    return Path(place)


def kept(repo: str, names: Sequence[str], *, beside: Sequence[str] = (), revision: str | None = None) -> Path:
    """The first of these files that the repository has, in a folder with those that match `beside`.

    A repository stays at the commit that the cache holds, whatever the hub has since; then the hub is asked only for
    what is missing beside the file, and what it does not give stays missing.
    Raises InputError where the repository has none of them, and as `listed` and `fetched` do.
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
    """Raise what the hub's client raises besides OSError as one."""
    import httpx2  # the client that huggingface_hub brings and raises the errors of
    from huggingface_hub.errors import XetDownloadError

    try:
        yield
    except OSError:  # as every error is that the hub answers with
        raise
    except (httpx2.HTTPError, XetDownloadError) as error:
        raise OSError(str(error) or type(error).__name__) from error

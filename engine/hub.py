"""What goes wrong between this machine and the Hugging Face hub, as an error message may tell it."""

import errno
import os
import re
from collections.abc import Iterator

TOKENS = ("HUGGINGFACE_TOKEN", "HF_TOKEN")
"""Where the hub's token is read from; it is stored nowhere."""
FULL = re.compile(r"\(os error 28\)|No space left on device")
"""How libraries that are not Python's tell that the disk is full."""


def token_variable() -> str | None:
    """The environment variable that the hub's token stands in, None where none does."""
    return next((name for name in TOKENS if os.environ.get(name)), None)


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

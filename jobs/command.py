"""What all jobs' command lines share: common options, an opened context, and errors as one line and an exit code."""

import argparse
import errno
import functools
import io
import logging
import os
import re
import select
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from db import schema, session
from db.models import Dataset
from db.queries import datasets
from engine.commands import moved
from engine.errors import InputError
from settings import Settings, load_settings

LONGEST_NAME = 60
"""Maximum length of a user-given name, in characters."""


class Main(Protocol):
    """A job: takes its arguments (None means those of the process) and returns its exit code."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """The exit code is 0 if done, 1 if failed, 2 if used wrongly, 130 if interrupted."""
        ...


class JobError(Exception):
    """The job cannot continue; the message is one line that names the problem and the way out. Exit code 1."""


class UsageError(JobError):
    """The command line is wrong, or names something that does not exist. Exit code 2."""


@dataclass(frozen=True)
class Context:
    """What a job works with: an up-to-date database and an artifact folder."""

    engine: Engine
    artifacts: Path
    models: Path
    command: tuple[str, ...] = ()
    """The words of the command line without the common options; empty if the job was not started from one."""
    left_open: frozenset[str] = frozenset()
    """Options that the command line left unset, such as `dataset`, which then means the latest."""

    def dataset(self, name: str | None) -> Dataset:
        """The dataset called `name`, or the latest one, which is printed if there are others; warns if its folder is
        missing. Raises JobError if there is no dataset, UsageError if `name` is unknown."""
        found = self._dataset(name)
        if not Path(found.root).is_dir():
            print(f"warning: {moved(found.root, found.name)}", file=sys.stderr)
        return found

    def _dataset(self, name: str | None) -> Dataset:
        with session.reading(self.engine) as db:
            known = datasets.every(db)
        if name is not None:
            found = next((one for one in known if one.name == name), None)
            if found is None:
                names = ", ".join(one.name for one in known) or "none"
                raise UsageError(
                    f"dataset '{name}' is unknown; known: {names}; add one with: python -m jobs ingest FOLDER"
                )
            return found
        if not known:
            where = session.shown(self.engine.url)
            raise JobError(f"the database holds no dataset; add one with: python -m jobs ingest FOLDER (in {where})")
        if len(known) > 1:
            latest = known[0].name
            print(f"note: using dataset '{latest}', the latest; choose another with --dataset", file=sys.stderr)
        return known[0]


class JobParser(argparse.ArgumentParser):
    """A job's parser, which also records the words that the job was started with as `command`."""

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """As in argparse, with `command` added: the program and its arguments, without the common options."""
        words = sys.argv[1:] if args is None else list(args)
        parsed = super().parse_args(words, namespace)
        _, others = _common_options().parse_known_args(words)
        parsed.command = (*self.prog.split(), *others)
        return parsed


def parser(module_doc: str | None, prog: str) -> argparse.ArgumentParser:
    """An argument parser with the options every job has; options must be written out in full."""
    return JobParser(
        prog=f"python -m jobs {prog}",
        description=module_doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common_options()],
        allow_abbrev=False,
    )


def _common_options() -> argparse.ArgumentParser:
    """Options that say where a job works, not what it does: they are not part of the command that repeats it."""
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common = made.add_argument_group("common options")
    common.add_argument("--database", metavar="URL", help="SQLAlchemy URL (default: DATABASE_URL, else SQLite)")
    common.add_argument(
        "--artifacts",
        type=named_folder,
        metavar="FOLDER",
        help="artifact folder (default: PNEUMOSCOPE_ARTIFACTS, else artifacts)",
    )
    common.add_argument("--debug", action="store_true", help="show the traceback if the job fails")
    return made


def named_folder(value: str) -> Path:
    """An argparse type: a folder; an empty string is an error, not the current folder."""
    if not value:
        raise argparse.ArgumentTypeError("expected the name of a folder, got ''")
    return Path(value)


def named_file(value: str) -> Path:
    """An argparse type: a file; an empty string is an error, not the current folder."""
    if not value:
        raise argparse.ArgumentTypeError("expected the name of a file, got ''")
    return Path(value)


def named(value: str) -> str:
    """An argparse type: a name that pages show."""
    if not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
        raise argparse.ArgumentTypeError(f"a name must have 1 to {LONGEST_NAME} printable characters")
    return value.strip()


def whole(value: str) -> int:
    """An argparse type: a whole number."""
    try:
        return int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{value}' is not a whole number") from None


def natural(value: str) -> int:
    """An argparse type: a whole number from 0 to 2^31 - 1, the range of random generators and both databases."""
    number = whole(value)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {2**31 - 1}")
    return number


def positive(value: str) -> int:
    """An argparse type: a whole number from 1 to 2^31 - 1."""
    number = whole(value)
    if not 0 < number < 2**31:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and {2**31 - 1}")
    return number


def row_number(value: str) -> int:
    """An argparse type: the id of a run or an image."""
    return positive(value)


def port_number(value: str) -> int:
    """An argparse type: a port number from 1 to 65535."""
    number = whole(value)
    if not 0 < number < 2**16:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and {2**16 - 1}")
    return number


def replicates(value: str) -> int:
    """An argparse type: a number of bootstrap replicates from 100 to 100,000 (which take minutes)."""
    number = whole(value)
    if number < 100:
        raise argparse.ArgumentTypeError(f"{value} is too few for a 95 % interval; ask for at least 100")
    if number > 100_000:
        raise argparse.ArgumentTypeError(f"{value} would take too long; ask for at most 100000")
    return number


def settings_of(args: argparse.Namespace) -> Settings:
    """The environment's settings, overridden by the command line."""
    given = {"artifacts": args.artifacts, "database_url": args.database}
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def open_context(args: argparse.Namespace, *, reads: bool = False) -> Context:
    """Connect, and bring the schema up to date.

    reads: the job stores nothing, so if the artifact folder is not writable the database is opened read-only.
    Other jobs claim a run, which checks that the artifact folder is writable. Raises JobError or
    db.session.DatabaseUnavailableError.
    """
    settings = settings_of(args)
    artifacts = settings.artifacts.resolve()
    if not artifacts.is_dir():
        make_artifacts_writable(artifacts)
    read_only = reads and not os.access(artifacts, os.W_OK)
    try:
        engine = session.connect(_immutable(settings.database) if read_only else settings.database, read_only=read_only)
        if not read_only:
            schema.upgrade(engine)
    except (session.DatabaseUnavailableError, DBAPIError):
        make_artifacts_writable(artifacts)  # the default database is in it
        raise
    state = schema.state(engine)
    if state == "newer":
        raise JobError(
            "the database was written by a newer version of this code; update the code, or choose another database "
            "with --database"
        )
    if state != "current":
        raise JobError(
            "the database was written by an older version of this code and is read-only here; with write access, run: "
            "python -m jobs migrate"
        )
    return Context(
        engine=engine,
        artifacts=artifacts,
        models=settings.models,
        command=args.command,
        left_open=frozenset(name for name, value in vars(args).items() if value is None),
    )


def _immutable(url: str) -> str:
    """The URL with `immutable` set if it is a SQLite file without a write-ahead log, so that reading it creates no
    files beside it; other URLs unchanged."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or Path(f"{parsed.database}-wal").exists():
        return url
    return parsed.update_query_dict({"immutable": "1"}).render_as_string(hide_password=False)


def make_artifacts_writable(folder: Path) -> None:
    """Create the artifact folder if it is missing and check that it is writable. Raises JobError."""
    make_writable(folder, what="artifact folder", option="--artifacts")


def make_writable(folder: Path, *, what: str, option: str) -> None:
    """Create the folder if it is missing and check that it is writable. Raises JobError naming the option that chooses
    another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise JobError(
            f"{what} {folder} is not writable ({error.strerror}); choose another with {option} FOLDER"
        ) from error


def command(main: Main) -> Main:
    """Turn any exception of `main` into one line on stderr and an exit code; with --debug the traceback comes first."""

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        argv = sys.argv[1:] if argv is None else list(argv)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # so that a terminal lacking some characters shows the rest
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True)
        for talkative in ("alembic", "faiss", "httpx2"):
            logging.getLogger(talkative).setLevel(logging.WARNING)
        try:
            code = main(argv)
            if sys.stdout is not None:  # None where it was closed
                sys.stdout.flush()
            return code
        except SystemExit as leaving:  # argparse: 0 after --help, 2 after wrong use
            return leaving.code if isinstance(leaving.code, int) else 2
        except KeyboardInterrupt:
            print("interrupted; run the same command again to continue", file=sys.stderr)
            return 130
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _output_closed():
                return 141
            if "--debug" in argv:
                logging.exception("the job failed")
            print(f"error: {one_line(error)}", file=sys.stderr)
            return 2 if isinstance(error, UsageError) else 1

    return guarded


def _output_closed() -> bool:
    """Whether the reader of stdout has gone, as after `| head`; if so, the remaining output is discarded."""
    watched = select.poll()
    watched.register(sys.stdout.fileno(), 0)
    if not watched.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


FULL = re.compile(r"\b\d+ requested and \d+ written|\(os error 28\)|No space left on device|disk is full")
"""How NumPy, safetensors, FAISS and databases report a full disk."""
READ_ONLY = re.compile(r"readonly database|read-only transaction")
"""How SQLite and PostgreSQL report a read-only database."""


FREE_SPACE = "free some space, or choose another folder with --artifacts"


def one_line(error: BaseException) -> str:
    """What went wrong and the way out, in one line."""
    text = session.cause(error) if isinstance(error, DBAPIError) else str(error).strip()
    match error:
        case JobError() | InputError() | session.DatabaseUnavailableError():
            message = text
        case OSError(errno=errno.ENOSPC):
            message = f"no space left on the disk{_path_of(error)}; {FREE_SPACE}"
        case _ if FULL.search(text):
            message = f"no space left on the disk ({text}); {FREE_SPACE}"
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS):
            message = f"{error.strerror}{_path_of(error)}; choose a writable folder with --artifacts"
        case DBAPIError() if READ_ONLY.search(text):
            message = f"the database is read-only ({text}); allow writing, or choose another with --database"
        case DBAPIError():
            message = f"database error: {text}; run the command again once the database is available"
        case ValidationError():
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            message = f"setting '{name}' is invalid: {first['msg']}; check the environment and .env"
        case UnicodeEncodeError():
            message = f"{error.object!a} is not valid UTF-8; rename it"
        case RuntimeError() if type(error).__name__ == "OutOfMemoryError":  # torch's, which is slow to import
            message = "out of GPU memory; stop other programs on the GPU, or set CUDA_VISIBLE_DEVICES= to use the CPU"
        case _ if isinstance(error, MemoryError) or "can't allocate memory" in text:
            message = "out of memory; close other programs, or use a smaller --batch-size if the job has that option"
        case _:
            message = f"{type(error).__name__}: {error} (run again with --debug for the traceback)"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())  # names keep double spaces


def _path_of(error: OSError) -> str:
    return f" at {error.filename}" if error.filename else ""

"""python -m jobs demo [--data FOLDER] [--recipe NAME] [--no-serve]: run every job in order, then serve the dashboard.

Without --data it draws synthetic phantoms first. What is already done is not done again.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from engine.classification.recipes import RECIPES
from jobs.command import JobError, UsageError, command, named_folder, parser, port_number, settings_of

SERVER = Path(__file__).parent.parent / "dashboard" / "server.py"
PHANTOMS = "phantoms"
SEED = 0


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "demo")
    options.add_argument(
        "--data", type=named_folder, metavar="FOLDER", help="radiographs to work on (default: phantoms)"
    )
    options.add_argument("--name", help="the data set's name (default: the folder's)")
    options.add_argument("--recipe", metavar="NAME", help="how to train (default: as train does)")
    options.add_argument("--no-serve", action="store_true", help="stop after the jobs")
    options.add_argument("--port", type=port_number, default=8501, help="where it is served (default: 8501)")
    args = options.parse_args(argv)
    settings = settings_of(args)
    if args.recipe not in (None, *RECIPES):  # before phantoms are drawn and ingested
        raise UsageError(f"recipe '{args.recipe}' is unknown; known: {', '.join(RECIPES)}")
    if not args.no_serve:
        check_port(args.port)
    common = ["--artifacts", str(settings.artifacts), "--database", settings.database]
    if args.debug:
        common.append("--debug")
    took = []
    for name, job_argv in steps(args.data, args.name, args.recipe, settings.artifacts.resolve()):
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        code: int = import_module(f"jobs.{name}").main([*job_argv, *common])
        if code != 0:
            return code
        took.append((name, time.monotonic() - began))
    print("\njob        seconds")
    for name, seconds in took:
        print(f"{name:<10} {seconds:7.1f}")
    print(f"{'total':<10} {sum(seconds for _, seconds in took):7.1f}", flush=True)
    if args.no_serve:
        return 0
    environment = {
        **os.environ,
        "PNEUMOSCOPE_ARTIFACTS": str(settings.artifacts.resolve()),
        "DATABASE_URL": settings.database,
    }
    print(f"\ndashboard: http://127.0.0.1:{args.port}  (Ctrl-C ends it)", flush=True)
    serve = ["-m", "streamlit", "run", str(SERVER), "--server.address", "127.0.0.1", "--server.port", str(args.port)]
    os.chdir(SERVER.parent.parent)  # where .streamlit/config.toml is
    os.execve(sys.executable, [sys.executable, *serve], environment)


def steps(data: Path | None, name: str | None, recipe: str | None, artifacts: Path) -> Iterator[tuple[str, list[str]]]:
    """Each job's name and arguments, in order; drawing the phantoms comes with the first."""
    if name is None:
        name = PHANTOMS if data is None else data.resolve().name
    if data is None:
        from engine.phantoms import write_phantoms

        folder, marks = artifacts / PHANTOMS, ["--synthetic"]
        write_phantoms(folder, seed=SEED)
    else:
        folder, marks = data.resolve(), []
    dataset = ["--dataset", name]
    yield "ingest", [str(folder), "--name", name, *marks]
    yield "train", [*dataset, *(["--recipe", recipe] if recipe else [])]
    for job in ("predict", "report"):
        yield job, dataset
    yield "embed", [*dataset, "--embedder", "aligned"]
    yield "embed", dataset
    yield "report", [*dataset, "--model", "nearest"]
    for job in ("duplicates", "evaluate", "map", "export"):
        yield job, dataset


def check_port(port: int) -> None:
    """Raise JobError where the port is taken, before any job has run for minutes."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise JobError(
                f"port {port} is taken ({error.strerror}); choose another with --port (make: PORT=8502)"
            ) from error


if __name__ == "__main__":
    raise SystemExit(main())

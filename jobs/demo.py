"""python -m jobs demo [--data FOLDER] [--recipe NAME] [--no-serve]: run ingest to export, then serve the dashboard.

Without --data it first draws synthetic phantoms. Jobs that are already done are skipped.
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
        "--data", type=named_folder, metavar="FOLDER", help="folder of radiographs (default: synthetic phantoms)"
    )
    options.add_argument("--name", help="name of the dataset (default: the folder's name)")
    options.add_argument("--recipe", metavar="NAME", help="training recipe (default: that of the job train)")
    options.add_argument("--no-serve", action="store_true", help="do not serve the dashboard afterwards")
    options.add_argument("--port", type=port_number, default=8501, help="port of the dashboard (default: 8501)")
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
    print(f"\ndashboard: http://127.0.0.1:{args.port}  (Ctrl-C stops it)", flush=True)
    serve = ["-m", "streamlit", "run", str(SERVER), "--server.address", "127.0.0.1", "--server.port", str(args.port)]
    os.chdir(SERVER.parent.parent)  # where .streamlit/config.toml is
    os.execve(sys.executable, [sys.executable, *serve], environment)


def steps(data: Path | None, name: str | None, recipe: str | None, artifacts: Path) -> Iterator[tuple[str, list[str]]]:
    """Each job's name and arguments, in order; draws the phantoms first if there is no `data`."""
    if name is None:
        name = PHANTOMS if data is None else data.resolve().name
    if data is None:
        from engine.datasets.phantoms import write_phantoms

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
    """Raise JobError if the port is taken, before any job has run for minutes."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise JobError(
                f"port {port} is not available ({error.strerror}); choose another with --port (with make: PORT=8502)"
            ) from error


if __name__ == "__main__":
    raise SystemExit(main())

"""python -m jobs fetch_models [NAME ...]: list the pretrained models, or download some into the model folder."""

from collections.abc import Sequence
from pathlib import Path

from engine.pretrained import weights
from engine.reporting.generators.published import PUBLISHED
from jobs.command import UsageError, command, named_folder, parser, settings_of

REPORT = "python -m jobs report --model {}"
"""The command that downloads a report model."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "fetch_models")
    options.add_argument("names", nargs="*", metavar="NAME", help=f"models to download: {', '.join(weights.REGISTRY)}")
    options.add_argument(
        "--models", type=named_folder, metavar="FOLDER", help="model folder (default: PNEUMOSCOPE_MODELS, else models)"
    )
    args = options.parse_args(argv)
    settings = settings_of(args)  # with the token in .env
    models: Path = args.models or settings.models
    for name in args.names:
        if name in PUBLISHED:
            raise UsageError(f"model '{name}' is downloaded when it first writes: {REPORT.format(name)}")
        if name not in weights.REGISTRY:
            raise UsageError(f"model '{name}' is unknown; known: {', '.join(weights.REGISTRY)}")
    if not args.names:
        show(models)
        return 0
    for name in args.names:
        present = weights.on_disk(name, models=models)
        if present is None:
            megabytes, source = weights.REGISTRY[name].megabytes, weights.REGISTRY[name].source
            print(f"fetch_models: downloading {name}, {megabytes} MB from {source}")
            present = weights.fetch(name, models=models)
        else:
            weights.check(name, present)
        print(f"fetch_models: {name} is in {present}")
    return 0


def show(models: Path) -> None:
    """Print each model with its size, licence and location."""
    print(f"{'name':<16} {'role':<9} {'MB':>5}  {'licence':<13} {'where':<24} source")
    for name, each in weights.REGISTRY.items():
        present = weights.on_disk(name, models=models)
        where = "absent" if present is None else str(present)
        print(f"{name:<16} {each.role:<9} {each.megabytes:>5}  {each.licence:<13} {where:<24} {each.source}")
    print("EfficientNet-Lite0, 1 and 2 and all-MiniLM-L6-v2 (Apache-2.0) are installed with the Python packages.")
    print("Download an absent one: python -m jobs fetch_models NAME")
    print(f"{', '.join(PUBLISHED)} and hf:ORG/NAME are downloaded when they first write: {REPORT.format('NAME')}")


if __name__ == "__main__":
    raise SystemExit(main())

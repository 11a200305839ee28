"""The background jobs: one module per job, each with `main(argv) -> int`."""

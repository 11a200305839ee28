"""What runs in the background: one module a job, each `main(argv) -> int`."""

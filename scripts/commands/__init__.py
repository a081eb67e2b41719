"""One module a command of `selu`: HELP, `arguments(parser)` and `run(given) -> exit code`, light to import."""

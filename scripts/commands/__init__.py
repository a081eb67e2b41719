"""One module for each command of `selu`: HELP, `arguments(parser)` and `run(given) -> exit code`. Fast to import."""

"""The project's benchmarks: each is a module with `run(quick) -> Result`, named in `__main__`."""

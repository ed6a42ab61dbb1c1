"""Measurements of the whole: each module is one benchmark, run as `python -m benchmarks.NAME [--short]`."""

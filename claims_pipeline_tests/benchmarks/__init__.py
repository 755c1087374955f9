"""Benchmarks: our way of one dump beside the bare database work under it, in one run on one server."""

"""Shipped test equipment: conformance suites and fault points. Needs the `test` extra."""

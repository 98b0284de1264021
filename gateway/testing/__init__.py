"""Shipped test equipment. Needs the `test` extra; most of what is real needs root and Debian packages.

`backends` is the conformance suite of backends, `wire` reaches content as
remote clients do, `catalogs` is the suite of catalogs, `kills` and `faults` end
processes at every step of a change, `pages` makes the pages of the drivers.
"""

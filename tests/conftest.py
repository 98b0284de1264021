"""The shipped suites assert like tests, so their assertions explain themselves like those of tests."""

from __future__ import annotations

import pytest

# Here, because whatever is imported first decides: the suites are used from several folders.
pytest.register_assert_rewrite("gateway.testing")

"""What tests on real machines need beyond Python: programs of a distribution, and the disk that machines start from."""

from __future__ import annotations

import pytest

from netlab.errors import EnvironmentLacks
from netlab.machines import image, tools


def pytest_configure() -> None:
    """Install and make what is missing, once; say in one line what cannot be."""
    try:
        tools.require()
        image.prepare()
    except EnvironmentLacks as error:
        raise pytest.UsageError(str(error)) from None

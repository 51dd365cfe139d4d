"""What tests on real machines need beyond Python: programs of a distribution, and the disk that machines start from."""

from __future__ import annotations

import pytest

from netlab.errors import EnvironmentLacks
from netlab.machines import image, tools
from rustun.ops.deploy.wheelhouse import Wheelhouse
from tests.machines.world import BOOKWORM
from tests.netlab.child import ROOT


def pytest_configure() -> None:
    """Install and make what is missing, once; say in one line what cannot be."""
    try:
        tools.require()
        image.prepare()
    except EnvironmentLacks as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session", autouse=True)
def wheels() -> None:
    """Fetch what is installed on machines before a test leaves for where no network is."""
    for web in (False, True):
        assert not Wheelhouse(ROOT).release(BOOKWORM, web=web).missing

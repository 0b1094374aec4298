"""Programs that some tests need beside Python: without them a test is skipped, or demanded."""

import os
import shutil

import pytest


def require(program: str) -> str:
    """Its path; skips without it, and fails where programs are demanded (TEST_DEMAND_PROGRAMS)."""
    found = shutil.which(program)
    if found is not None:
        return found
    if os.environ.get("TEST_DEMAND_PROGRAMS"):
        raise FileNotFoundError(f"{program} is demanded, but not installed.")
    pytest.skip(f"{program} is not installed.")

"""Settings shared by all tests."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Compilation makes single examples slow now and then, so no deadline. In CI the examples are the
# same each time: a failure there is a failure of the change, not of the dice.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# Every program is lowered anew. IR is verified after each pass where passes are tested: that takes
# almost half as long again.
VERIFIED = {"autodiff", "property", "transforms"}
os.environ.setdefault("DMC_VERIFY_EACH", "0")


def pytest_runtest_setup(item: pytest.Item) -> None:
    os.environ["DMC_VERIFY_EACH"] = "1" if item.path.parent.name in VERIFIED else "0"


# Modules of tests keep many programs, through which full collections go for seconds.
gc.set_threshold(700, 10, 200)


@pytest.fixture
def new_heap() -> Iterator[None]:
    """`gc.collect` looks at what the test makes, not at all that other tests keep."""
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_sessionfinish() -> None:
    """Pytest collects garbage five times before it ends: not all that the tests keep."""
    gc.freeze()


# Plans under budgets are those of one machine, whatever the tests run on.
os.environ.setdefault("DMC_RATES", "64e9 32e9 16e9 8e9 32e9 8e9 524288")

# Compiled code is kept between runs, as for users, but here and not in the user's own cache.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "dmc"
os.environ.setdefault("DMC_CACHE_DIR", str(_CACHE))

# Where Python may write no bytecode beside the sources, each of the processes that tests start
# would compile four hundred modules before anything else: that takes three times as long as to
# load them.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(_CACHE.parent / "bytecode"))

"""Settings shared by all tests."""

import os
from pathlib import Path

import hypothesis

# Compilation makes single examples slow now and then, so no deadline. In CI the examples are the
# same each time: a failure there is a failure of the change, not of the dice.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

os.environ.setdefault("DMC_VERIFY_EACH", "1")

# Compiled code is kept between runs, as for users, but here and not in the user's own cache.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "dmc"
os.environ.setdefault("DMC_CACHE_DIR", str(_CACHE))

"""Settings shared by all tests."""

import os

import hypothesis

# Compilation makes single examples slow now and then, so no deadline. In CI the examples are the
# same each time: a failure there is a failure of the change, not of the dice.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

os.environ.setdefault("DMC_VERIFY_EACH", "1")

"""How many examples a property test tries.

`make test` tries an eighth of them, which is quick; `make test-thorough`
(HYPOTHESIS_PROFILE=thorough) tries all.
"""

import os

from hypothesis import settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def examples(count, **more):
    """Settings for a property test that deserves `count` examples in a thorough run."""
    return settings(max_examples=count if THOROUGH else max(10, count // 8), deadline=None, **more)

"""All of it takes greenlet, of which a build of Python may have none."""

import pytest

pytest.importorskip("greenlet", reason="the checker needs greenlet")

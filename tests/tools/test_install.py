"""Packages that cannot be installed for the tests are left out and reported."""

import pytest

from tools import install


@pytest.mark.parametrize(
    ("lacks", "status", "told"),
    [
        ("nothing", 0, ""),
        ("greenlet>=3.1", 0, "left out: greenlet>=3.1: no compiler\n"),
        (str(install.ROOT), 1, "no compiler\n"),
    ],
)
def test_what_cannot_be_had_is_left_out_unless_it_is_ours(
    lacks: str,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def refusal(*what: str) -> str:
        asked.append(what[-1])
        together = what[-1].endswith("[test]") and lacks != "nothing"
        return "no compiler" if together or what[-1] == lacks else ""

    monkeypatch.setattr(install, "refusal", refusal)
    assert install.main() == status
    assert capsys.readouterr().err == told
    assert ("pytest>=8.2" in asked) == (lacks == "greenlet>=3.1")

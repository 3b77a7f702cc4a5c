"""The dashboard and the alert rules show metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.promtool import needs_promtool, promtool
from tests.helpers.repository import ROOT
from untorn.serve.export.collector import HostCollector
from untorn.serve.export.counts import Counts
from untorn.serve.export.groups import Groups
from untorn.serve.export.passes import Passes
from untorn.serve.export.process_looks import ProcessLooks

DASHBOARD = ROOT / "deploy/grafana/untorn.json"
RULES = ROOT / "deploy/prometheus/untorn.rules.yml"
DOCS = ROOT / "docs/export.md"
SUFFIXES = {"counter": "_total", "info": "_info"}


def exported() -> set[str]:
    """The names of our metrics."""
    looks = ProcessLooks(Groups(), "/proc", max_hold=1)
    passes = Passes(looks, Counts(looks), max_age=1, patience=1)
    described = HostCollector(passes, {}, "/proc").describe()
    return {each.name + SUFFIXES.get(each.type, "") for each in described}


def named_in(text: str) -> set[str]:
    return set(re.findall(r"\buntorn_\w+", text))


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def test_the_dashboard_shows_all_metrics_and_no_others() -> None:
    assert named_in(DASHBOARD.read_text()) == exported()


def test_the_page_tells_of_all_metrics_and_no_others() -> None:
    assert named_in(DOCS.read_text()) == exported()


def test_rules_are_about_metrics_that_there_are() -> None:
    named = named_in(RULES.read_text())
    assert named
    assert named <= exported()


def test_panels_have_titles_and_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", RULES), ("test", "rules", RULES.with_suffix(".test.yml"))],
    ids=lambda arguments: arguments[0],
)
def test_promtool_passes_the_rules(arguments: tuple[str, ...]) -> None:
    status, output = promtool(*arguments)
    assert (status, "SUCCESS" in output) == (0, True), output


@needs_promtool
def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$group": ".*", "$instance": ".*"}
    rules = []
    for number, expression in enumerate(expressions()):
        for variable, value in variables.items():
            expression = expression.replace(variable, value)
        rules.append({"record": f"panel_{number}", "expr": expression})
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    status, output = promtool("check", "rules", file)
    assert (status, f"{len(rules)} rules found" in output) == (0, True), output

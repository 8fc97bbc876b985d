"""What a simulation prints and draws."""

import json
from xml.etree import ElementTree

from llmproxy.tools.simulate.picture import as_svg
from llmproxy.tools.simulate.report import as_json, as_text
from tests.tools.simulate.worlds import calls, cheap_and_dear, config, endpoint, run


def test_the_text_has_a_summary_and_every_endpoint():
    text = as_text(run(cheap_and_dear(), calls((24, 120))))

    assert "clients got    0 errors with 429, 0 with 5xx" in text
    for name in ("g/one", "g/two", "g/dear"):
        assert any(line.startswith(name) for line in text.splitlines())


def test_the_json_adds_up():
    report = json.loads(as_json(run(cheap_and_dear(), calls((24, 120)))))

    endpoints, waits = report["endpoints"], report["waits"]
    assert report["calls"] == report["served"] == sum(row["served"] for row in endpoints)
    assert abs(sum(row["share"] for row in endpoints) - 1) < 1e-5
    assert [row["tier"] for row in report["tiers"]] == [0, 1]
    assert waits["median_s"] <= waits["p99_s"] <= waits["max_s"]
    assert endpoints[0]["requests"]["limit"] == 600
    assert endpoints[2]["requests"] is None, "it has no limit"


def test_a_run_without_a_served_call_is_reported_and_drawn():
    down = {"outages": [{"from_s": 0, "to_s": 900}]}
    results = run(config(endpoint("only")), calls((2, 20)), only=down)

    assert f"{results.calls:,} with 5xx" in as_text(results)
    assert json.loads(as_json(results))["cost_usd"] is None
    ElementTree.fromstring(as_svg(results, "nothing"))


def test_the_picture_is_an_svg_that_names_its_endpoints_and_escapes_its_title():
    picture = ElementTree.fromstring(as_svg(run(cheap_and_dear(), calls((24, 120))), "<a & b>"))

    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "<a & b>"
    for name in ("g/one (tier 0)", "g/two (tier 0)", "g/dear (tier 1)"):
        assert name in texts
    shapes = picture.findall("{http://www.w3.org/2000/svg}polygon")
    assert len(shapes) == 4  # the endpoints and the waits
    assert len({shape.get("fill") for shape in shapes}) == 4


def test_many_endpoints_do_not_run_out_of_the_picture():
    crowd = config(*(endpoint(f"endpoint-{i}") for i in range(40)))
    picture = as_svg(run(crowd, calls((20, 30))), "many")

    assert "more</text>" in picture

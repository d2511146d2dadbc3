from __future__ import annotations

from pacs.dicomweb.hot import Answer, HotRoute
from pacs.dicomweb.hot_routes import HotRoutes


def test_hot_routes_are_found_by_the_whole_path() -> None:
    one, other = HotRoute(lambda _: Answer({})), HotRoute(lambda _: Answer({}))
    routes = HotRoutes({"/studies/{study}/frames/{frames}": one, "/studies/{study}/bulkdata/{path}": other})
    assert routes.find("/studies/1.2/frames/1,2") == (one, {"study": "1.2", "frames": "1,2"})
    assert routes.find("/studies/1.2/bulkdata/a/1/b") == (other, {"study": "1.2", "path": "a/1/b"})
    for path in (
        "/studies/1.2/frames/1/rendered",
        "/studies/1.2/frames",
        "/x/studies/1.2/frames/1",
        "/studies//frames/1",
    ):
        assert routes.find(path) is None


def test_a_step_that_is_a_parameter_may_be_any_word() -> None:
    route = {name: HotRoute(lambda _: Answer({})) for name in ("study", "metadata", "series", "frame", "picture")}
    series = "/studies/{study}/series/{series}"
    routes = HotRoutes(
        {
            "/studies/{study}": route["study"],
            "/studies/{study}/metadata": route["metadata"],
            series: route["series"],
            f"{series}/frames/{{frames}}": route["frame"],
            f"{series}/rendered": route["picture"],
        }
    )
    assert routes.find("/studies/metadata") == (route["study"], {"study": "metadata"})
    assert routes.find("/studies/rendered/metadata") == (route["metadata"], {"study": "rendered"})
    assert routes.find("/studies/a/series/rendered") == (route["series"], {"study": "a", "series": "rendered"})
    of_series = {"study": "{study}", "series": "a b"}
    assert routes.find("/studies/{study}/series/a b/rendered") == (route["picture"], of_series)
    assert routes.find("/studies/1/series/2/frames/rendered") == (
        route["frame"],
        {"study": "1", "series": "2", "frames": "rendered"},
    )
    for path in ("", "/", "/studies", "/studies/", "/studies/1/", "/studies/1/series/", "//1", "/studies//metadata"):
        assert routes.find(path) is None, path

"""What happened beside the traffic, as marks of the charts."""

from llmproxy.batteries.admin.stats.marks import Marks
from llmproxy.batteries.admin.stats.status import EndpointStatus as Status


def test_an_outage_is_one_mark_until_the_endpoint_is_back():
    marks = Marks(100.0)
    changes = [
        (Status.OK, Status.OPEN),
        (Status.OPEN, Status.HALF_OPEN),
        (Status.HALF_OPEN, Status.OPEN),
        (Status.OPEN, Status.OK),
        (Status.OK, Status.COOLING),  # throttling is no outage
        (Status.COOLING, Status.OK),
    ]
    for at, (before, now) in enumerate(changes, 101):
        marks.changed(at, "azure", before, now)
    seen = [(mark.at, mark.what, mark.subject) for mark in marks.since(0)]
    assert seen == [(100, "start", None), (101, "outage", "azure"), (104, "back", "azure")]
    assert [mark.at for mark in marks.since(102)] == [104]


def test_a_drain_its_end_and_a_reload_are_marks():
    marks = Marks(100.0)
    marks.changed(101.0, "azure", Status.OK, Status.DRAINED)
    marks.changed(102.0, "azure", Status.DRAINED, Status.OK)
    marks.reloaded(103.0)
    assert [mark.what for mark in marks.since(101)] == ["drain", "enable", "reload"]

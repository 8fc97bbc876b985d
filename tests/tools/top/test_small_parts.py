"""Figures, bars, lines of traffic, tables and the framing of events, one by one."""

import pytest
from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.listening import events_in
from llmproxy.tools.top.look import ASCII, BLOCKS, bar, glyphs_for, line_of
from llmproxy.tools.top.table import Column, cut, cut_middle, fit, one_line


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.count(0), "0"),
        (figures.count(9_999), "9,999"),
        (figures.count(9_999.6), "10k"),
        (figures.count(999_499), "999k"),
        (figures.count(999_500), "1.0M"),
        (figures.count(910_000_000), "910M"),
        (figures.count(2.5e12), "2.5T"),
        (figures.rate(0.04), "0.0"),
        (figures.rate(99.96), "100"),
        (figures.share(0), "0%"),
        (figures.share(0.0004), "<0.1%"),
        (figures.share(0.004), "0.4%"),
        (figures.share(0.0996), "10%"),
        (figures.share(0.9999), "99%"),
        (figures.share(1), "100%"),
        (figures.milliseconds(None), "-"),
        (figures.milliseconds(0.04), "0.0ms"),
        (figures.milliseconds(394.4), "394ms"),
        (figures.milliseconds(999.6), "1.0s"),
        (figures.seconds(42), "42s"),
        (figures.seconds(119.6), "2m"),
        (figures.seconds(7_260), "2h"),
        (figures.seconds(3 * 86_400), "3d"),
        (figures.duration(-1), "0s"),
        (figures.duration(250), "4m 10s"),
        (figures.duration(25_380), "7h 3m"),
        (figures.duration(200_000), "2d 7h"),
        (figures.dollars(0), "$0.00"),
        (figures.dollars(0.00001), "<$0.0001"),
        (figures.dollars(0.0049), "$0.0049"),
        (figures.dollars(14.1), "$14.10"),
        (figures.dollars(1_873.4), "$1,873"),
    ],
)
def test_figures_are_short(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(
    ("part", "drawn"),
    [(0, "···"), (0.001, "▌··"), (0.5, "█▌·"), (0.51, "██·"), (1, "███"), (2, "███"), (-1, "···")],
)
def test_a_bar_never_draws_something_as_nothing(part, drawn):
    assert bar(part, 3, BLOCKS) == drawn


def test_traffic_ends_at_the_right_and_shows_the_latest():
    assert line_of([0, 1, 50, 100], 6, 100, BLOCKS) == "   ▁▄█"
    assert line_of([100, 0, 1], 2, 100, BLOCKS) == " ▁"
    assert line_of([1], 0, 1, BLOCKS) == ""


@pytest.mark.parametrize(
    ("encoding", "glyphs"),
    [("utf-8", BLOCKS), ("ascii", ASCII), ("cp1252", ASCII), ("no such", ASCII)],
)
def test_an_output_gets_what_it_can_write(encoding, glyphs):
    assert glyphs_for(encoding) is glyphs


def table(width, *columns):
    fitted = fit(columns, width)
    return [fitted.head(width, "…").plain, fitted.row(0, "…").plain]


def test_columns_are_left_out_by_their_order_and_the_first_ones_never():
    name = Column("NAME", [Text("azure-east")], least=5)
    calls = Column("CALLS", [Text("9")], 1, right=True)
    tier = Column("TIER", [Text("0")], 2, short="T", right=True)
    assert table(25, name, tier, calls) == [
        "NAME        TIER  CALLS  ",
        "azure-east     0      9",
    ]
    assert table(18, name, tier, calls) == ["NAME       T CALLS", "azure-east 0     9"]
    assert table(14, name, tier, calls) == ["NAME   T CALLS", "azure… 0     9"]
    assert table(12, name, tier, calls) == ["NAME   CALLS", "azure…     9"]
    assert table(7, name, tier, calls) == ["NAME   ", "azure-…"]


def test_extra_columns_are_there_only_where_the_others_are_whole():
    name = Column("NAME", [Text("azure-east")], least=5)
    extra = Column("ID", [Text("77")], 1, extra=True)
    assert table(13, name, extra) == ["NAME       ID", "azure-east 77"]
    assert table(12, name, extra) == ["NAME        ", "azure-east"]


def test_wide_characters_count_for_two_cells():
    assert cut(Text("日本語"), 5, "…").plain == "日本…"
    assert cut(Text("日本語"), 4, "…").plain in ("日…", "日 …")
    assert cut(Text("abc"), 0, "…").plain == ""


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (22, "text-embedding-3-small"),
        (14, "text-em…-small"),
        (3, "t…l"),
        (2, "t…"),
        (1, "…"),
        (0, ""),
    ],
)
def test_a_name_keeps_its_beginning_and_its_end(width, shown):
    assert cut_middle(Text("text-embedding-3-small"), width, "…").plain == shown


def test_a_wide_name_is_cut_between_its_characters():
    assert cut_middle(Text("日本語日本語"), 8, "…").plain == "日本…語"


def test_parts_of_a_line_are_left_out_by_their_order():
    parts = [(0, Text("first")), (2, Text("last")), (1, Text("middle")), (3, Text())]
    assert one_line(parts, 30, "…").plain == "first  last  middle"
    assert one_line(parts, 14, "…").plain == "first  middle"
    assert one_line(parts, 4, "…").plain == "fir…"


def test_events_are_read_as_the_standard_says():
    stream = (
        b": comment\n\nevent: state\ndata: {\ndata:}\n\nevent: nothing\n\n"
        b"retry: 500\ndata:  x\r\n\r\nid: 7\ndata\n\nevent: cut off\ndata: y\n"
    )
    assert list(events_in(stream.splitlines(keepends=True))) == [
        ("state", b"{\n}"),
        ("message", b" x"),
        ("message", b""),
    ]

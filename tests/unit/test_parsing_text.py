from __future__ import annotations

import json
from pathlib import Path

import pytest

from file_search_emulator.parsing import LimitedParser, ParseError, Section, parse

_TABLE = "Plan: Basic | Price: 10 EUR\nPlan: Pro | Price: 20 EUR"


def _parse(folder: Path, content: str | bytes, mime_type: str, name: str = "file") -> list[Section]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with path.open("rb") as file:
        return parse(file, mime_type, name)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe 10 €", "utf-8"),
        ("Größe 10 €", "utf-8-sig"),
        ("Größe 10 €", "utf-16"),
        ("Size of the thing", "utf-16-le"),
        ("Size of the thing", "utf-16-be"),
        ("Größe 10 €", "cp1252"),
        ("有給休暇は年20日です。", "cp932"),
        ("有給休暇は年20日です。", "euc_jp"),
        ("연차 휴가는 15일입니다", "euc_kr"),
        ("公司年假有十五天，请提前三天申请。", "gb18030"),  # noqa: RUF001
        ("Отпуск 28 дней в году", "cp1251"),
    ],
)
def test_text_of_any_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    assert _parse(tmp_path, text.encode(encoding), "text/plain") == [Section(text)]


def test_line_ends_become_one_kind(tmp_path: Path) -> None:
    assert _parse(tmp_path, b"a\r\nb\rc\nd", "text/x-python") == [Section("a\nb\nc\nd")]


@pytest.mark.parametrize(
    ("content", "mime_type", "message"),
    [
        (b"", "text/plain", "empty"),
        (b" \n\t\n", "text/plain", "No text found"),
        (b"\x7fELF\x02\x01\x00\x00" + bytes(range(256)) * 8, "text/plain", "not a text file"),
        (b"%PDF-1.4\n1 0 obj\nendobj\n", "text/plain", "give it the extension .pdf"),
        (rb"{\rtf1\ansi Hello.}", "text/markdown", "save the file as DOCX"),
        (b"{not json", "application/json", "not well formed"),
        (b"[" * 100_000, "application/json", "nested too deeply"),
        (b"{}", "application/vnd.jupyter", "damaged"),
        (b"x", "application/msword", "DOCX"),
        (b"x", "image/gif", "cannot be read"),
        (b"<html><script>let x</script><nav>Home</nav></html>", "text/html", "No text found"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, mime_type: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        _parse(tmp_path, content, mime_type)


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        ("Plan,Price\nBasic,10 EUR\nPro,20 EUR\n", "text/csv"),
        ('Plan;Price\n"Basic";10 EUR\n\nPro;20 EUR\n', "text/csv; charset=utf-8"),
        ("Plan\tPrice\nBasic\t10 EUR\nPro\t20 EUR", "text/tab-separated-values"),
        ("| Plan | Price |\n|---|--:|\n| Basic | 10 EUR |\n| Pro | 20 EUR |", "text/markdown"),
        ("<table><tr><th>Plan<th>Price<tr><td>Basic<td>10 EUR<tr><td>Pro<td>20 EUR</table>", "text/html"),
    ],
)
def test_a_row_names_its_columns(tmp_path: Path, content: str, mime_type: str) -> None:
    assert [section.text for section in _parse(tmp_path, content, mime_type)] == [_TABLE]


def test_a_table_of_keys_and_values_has_no_header(tmp_path: Path) -> None:
    assert _parse(tmp_path, "Name,Alice\nTown,Bonn", "text/csv") == [Section("Name: Alice\nTown: Bonn")]


def test_markdown_keeps_headings(tmp_path: Path) -> None:
    text = "# Guide\n\n## Leave\nTake it.\n```\n# a comment\n```\n## Pay\nGet it.\n"
    assert _parse(tmp_path, text, "", "guide.md") == [
        Section("Guide\n\nLeave\n\nTake it.\n```\n# a comment\n```", heading="Guide > Leave"),
        Section("Pay\n\nGet it.", heading="Guide > Pay"),
    ]


def test_html_is_what_a_reader_sees(tmp_path: Path) -> None:
    page = (
        '<meta charset="cp1252"><title>Shop</title><style>b{}</style><nav>Home</nav><h1>Gr\xf6\xdfen</h1>'
        "<p>One <b>bold</b> word.<ul><li>first<li><p>second</p></ul><script>let x</script><h2>More</h2>Yes<br>no"
    )
    assert _parse(tmp_path, page.encode("cp1252"), "text/html") == [
        Section("Shop\n\nGrößen\n\nOne bold word.\n\n- first\n- second", heading="Shop > Größen"),
        Section("More\n\nYes\nno", heading="Shop > Größen > More"),
    ]


def test_a_few_stray_control_characters_make_no_binary(tmp_path: Path) -> None:
    log = b"The crash was at 7.\n" * 30
    assert _parse(tmp_path, log + b"\0\0" + b"The end.", "text/plain") == [Section(log.decode() + "The end.")]


def test_an_encoding_that_does_not_fit_is_not_believed(tmp_path: Path) -> None:
    assert _parse(tmp_path, b"<meta charset=undefined><p>Gr\xf6\xdfe", "text/html") == [Section("Größe")]


@pytest.mark.parametrize(
    ("line", "heading"),
    [("# Pay #", "Pay"), ("## Pay ##  ", "Pay"), ("# Pay in C#", "Pay in C#")],
)
def test_a_heading_is_without_its_closing_marks(tmp_path: Path, line: str, heading: str) -> None:
    assert _parse(tmp_path, f"{line}\nGet it.", "text/markdown")[0].heading == heading


def test_a_heading_of_many_spaces_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"# a{' ' * 50_000}b\nGet it.")
    parser = LimitedParser(cpu_seconds=5)
    try:
        assert parser.parse(path, "text/markdown", "a.md")[0].heading == "a b"
    finally:
        parser.close()


def test_a_long_heading_is_cut_and_its_text_is_not(tmp_path: Path) -> None:
    (section,) = _parse(tmp_path, f"# {'word ' * 100_000}\ntext", "text/markdown")
    assert section.heading == ("word " * 100)[:500]
    assert section.text.count("word") == 100_000


def test_deep_html_is_read(tmp_path: Path) -> None:
    assert "deep" in _parse(tmp_path, "<div>" * 5_000 + "deep", "text/html")[0].text


@pytest.mark.parametrize(
    "page",
    [
        "<p>text" * 20_000,
        "<br>text" * 20_000,
        "<svg>" + "<path d='M0 0'/>" * 20_000 + "</svg><p>text",
        "<b><i>x</i></b>" * 20_000,
        "<ul>" + "<li>text" * 20_000 + "</ul>",
        "<script>" + "if (a<b && c) { x / y }" * 20_000 + "</script><p>text",
        "<!-- " + "<div " * 20_000 + "--><p>text",
        f"<p title='{'a ' * 20_000}'>text",
        "<a b>text</a>" * 20_000,
    ],
)
def test_a_large_page_is_not_taken_for_a_hostile_one(tmp_path: Path, page: str) -> None:
    assert _parse(tmp_path, page, "text/html")


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 20_000,
        "<div></b>" * 20_000,
        "<!-- x --><span\n>" * 20_000,
        "<DIV a='>'>" * 20_000,
        "<div/>" * 20_000,
        "<p " + "a " * 20_000,
        "<p a='" + "' b='" * 20_000,
        "<p " + "a/" * 20_000,
        "<script " + "a " * 20_000,
    ],
)
def test_a_page_that_nests_too_deeply_or_has_too_many_attributes_is_refused(tmp_path: Path, page: str) -> None:
    with pytest.raises(ParseError, match=r"too deeply|attributes"):
        _parse(tmp_path, page + "text", "text/html")


def test_json_as_paths_and_values(tmp_path: Path) -> None:
    value = {"server": {"ports": [80, 443], "tls": True}, "plans": [{"name": "Basic", "price": 10}, {"name": "Pro"}]}
    assert _parse(tmp_path, json.dumps(value), "application/json") == [
        Section("server.ports: 80, 443\nserver.tls: true\nplans[0]: name: Basic | price: 10\nplans[1]: name: Pro")
    ]


def test_json_keeps_numbers_as_they_are_written(tmp_path: Path) -> None:
    text = f'{{"price": 19.90, "limit": 1e999, "serial": {"9" * 5000}}}'
    found = _parse(tmp_path, text, "application/json")
    assert found == [Section(f"price: 19.90\nlimit: 1e999\nserial: {'9' * 5000}")]


def test_a_notebook_is_its_cells(tmp_path: Path) -> None:
    cells = [{"source": ["# Title\n", "text"], "outputs": [{"text": "noise"}]}, {"source": "x = 1"}]
    assert _parse(tmp_path, json.dumps({"cells": cells}), "application/vnd.jupyter") == [
        Section("# Title\ntext\n\nx = 1")
    ]

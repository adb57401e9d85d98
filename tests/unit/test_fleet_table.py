"""The fleet's table of jobs: what is accepted, and what each complaint says."""

from __future__ import annotations

import json

import pytest

from fleet.table import Row, TableError, read_table

STYLES = {"armor", "cheongsam", "snow_white"}
HEAD = "person,photos,styles,template,faces,count,seed,checkpoint,preset\n"


def rows_of(text: str, name: str = "jobs.csv", checkpoint: str = "base.safetensors") -> list[Row]:
    return read_table(name, text.encode(), STYLES, checkpoint)


def complaint(text: str, name: str = "jobs.csv", checkpoint: str = "base.safetensors") -> str:
    with pytest.raises(TableError) as raised:
        rows_of(text, name, checkpoint)
    return str(raised.value)


def test_a_csv_row_in_full() -> None:
    (row,) = rows_of(HEAD + 'Anna,photos/anna,armor; cheongsam,couple.jpg,"3, 1",10,7,other.safetensors,best\n')
    assert row.people == ("Anna",) and row.styles == ("armor", "cheongsam") and row.line == 2
    assert (row.photos, row.template, row.faces) == ("photos/anna", "couple.jpg", "3, 1")
    assert (row.count, row.seed, row.checkpoint, row.preset) == (10, 7, "other.safetensors", "best")


def test_empty_cells_and_absent_columns_have_defaults() -> None:
    (row,) = rows_of("styles,person,photos\n\n# by noon\narmor,小明,photos/1\n")
    assert (row.people, row.line) == (("小明",), 4)
    assert (row.count, row.seed, row.checkpoint, row.preset) == (4, 42, "base.safetensors", "balanced")


def test_json_lines_give_the_same_rows() -> None:
    csv = rows_of("person,photos,styles,count,template\nAnna,a,armor;cheongsam,3,\nBen,b,armor,,\nAnna;Ben,,,,t.png\n")
    lines = [
        {"person": "Anna", "photos": "a", "styles": ["armor", "cheongsam"], "count": 3},
        {"person": "Ben", "photos": "b", "styles": "armor"},
        {"person": ["Anna", "Ben"], "template": "t.png"},
    ]
    same = rows_of("\n".join(map(json.dumps, lines)), "jobs.jsonl")
    assert [row.__dict__ | {"line": 0} for row in same] == [row.__dict__ | {"line": 0} for row in csv]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Anna,a,armour,,,,,,", "row 2, column styles: there is no style 'armour'. Did you mean 'armor'."),
        ("Anna,a,armor,,,ten,,,", "row 2, column count: 'ten' is no whole number from 1 to 10000. Write one"),
        ("Anna,a,armor,,,0,,,", "column count: '0' is no whole number"),
        ("Anna,a,armor,,,,-1,,", "column seed: '-1' is no whole number"),
        ("Anna,a,armor,,,,²,,", "column seed: '²' is no whole number"),
        ("../x,a,armor,,,,,,", "column person: the person name '../x' cannot be used"),
        (",a,armor,,,,,,", "column person: is empty"),
        ("Anna,a,,,,,,,", "column styles: is empty. Name at least one style, or a template"),
        ("Anna,,armor,,,,,,", "column photos: Anna has none in any row"),
        ("Anna;Ben,,armor,,,,,,", "column template: is empty, though the row has several people"),
        ("Anna;Anna,,,t.png,,,,,", "column person: names somebody twice"),
        ("Anna,a,armor,t.png,left,,,,", "column faces: 'left' is no list of numbers"),
        ("Anna,a,armor,,1,,,,", "column faces: is not empty, though there is no template"),
        ("Anna,a,armor,,,,,,slow", "column preset: 'slow' is unknown. Use one of: fast, balanced, best"),
        ("Anna,a,armor,,,,,,,,", "column preset: has 2 cell(s) too many"),
        ("Anna,a,armor,,,,,,\nAnna,b,armor,,,,,,", "row 3, column photos: Anna has other photos in row 2 (a)"),
        ("Anna,a,armor,,,,,,\nANNA,a,armor,,,,,,", "row 3, column person: 'ANNA' differs from 'Anna' by capitals"),
        (";".join("abcdefghijk") + ",,,t.png,,,,,", "column person: has 11 people"),
    ],
)
def test_a_complaint_names_row_and_column_and_what_to_do(row: str, said: str) -> None:
    assert said in complaint(HEAD + row + "\n")


def test_all_complaints_come_at_once() -> None:
    said = complaint(HEAD + "Anna,a,armour,,,ten,,,\nBen,,armor,,,,,,\n" + "Cy,c,nothing,,,,,,\n" * 30)
    assert "row 2, column styles" in said and "row 2, column count" in said
    assert len(said.splitlines()) == 21 and "more" in said.splitlines()[-1]


def test_what_is_wrong_with_the_table_itself() -> None:
    assert "Did you mean 'styles'" in complaint("person,photos,style\nAnna,a,armor\n")
    assert "column person: is absent" in complaint("photos,styles\na,armor\n")
    assert "jobs.csv has no rows" in complaint(HEAD)
    assert "column checkpoint: is empty" in complaint(HEAD + "Anna,a,armor,,,,,,\n", checkpoint="")
    assert "row 2: is no JSON" in complaint('{"person": "Anna", "photos": "a", "styles": "armor"}\n{"per', "x.jsonl")
    assert "is no object" in complaint("[1]", "x.jsonl")
    assert "Did you mean 'seed'" in complaint('{"person": "Anna", "sed": 1}', "x.jsonl")
    assert "True is no text" in complaint('{"person": "A", "photos": "a", "styles": "armor", "count": true}', "x.jsonl")
    with pytest.raises(TableError, match="not UTF-8"):
        read_table("jobs.csv", b"person\n\xff\xfe", STYLES)

import json

import datasets
import pytest

from understand_r1_zero.tables import Unreadable, open_file

ROWS = [{"problem": f"{n} + 1?", "answer": str(n + 1)} for n in range(3)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", "\n\n".join(map(json.dumps, ROWS))),
        ("rows.jsonl", "\ufeff" + "\r\n".join(map(json.dumps, ROWS)) + "\r\n"),
        ("rows.json", "\n".join(map(json.dumps, ROWS))),
        ("rows.json", json.dumps(ROWS)),
        ("rows.json", json.dumps(ROWS, indent=2)),
        ("rows.json", "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]"),
        ("rows.json", json.dumps({"data": ROWS})),
    ],
    ids=["jsonl", "bom", "json lines", "list", "pretty list", "list a line a row", "data"],
)
def test_rows_can_be_read_more_than_once(name, text, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    table = open_file(tmp_path / name)
    assert list(table.rows) == list(table.rows) == ROWS
    assert table.columns == ("problem", "answer")


def test_parquet_is_read_in_batches(tmp_path):
    rows = [{"n": n, "lists": [[0.5], []]} for n in range(600)]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    table = open_file(tmp_path / "rows.parquet")
    assert list(table.rows) == list(table.rows) == rows
    assert table.columns == ("n", "lists")


def test_a_line_that_is_not_json_stands_in_its_place(tmp_path):
    lines = [b"{oops", b'{"n": 1}', b'"\xff"', b"[" * 100_000, b"9" * 5000]
    (tmp_path / "rows.jsonl").write_bytes(b"\n\n".join(lines))
    table = open_file(tmp_path / "rows.jsonl")
    first, second, *others = table.rows
    assert isinstance(first, Unreadable) and first.reason.startswith("line 1 is not JSON: Expect")
    assert second == {"n": 1}
    assert [row.reason.split(":")[0] for row in others] == [
        f"line {number} is not JSON" for number in (5, 7, 9)
    ]
    assert table.columns == ("n",)


def test_a_line_is_not_read_before_it_is_asked_for(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    rows = iter(open_file(tmp_path / "rows.jsonl").rows)
    assert next(rows) == {"n": 1}
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"n": 3}\n' * 100_000)
    assert len(list(rows)) > 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[1, ", "is not JSON"),
        ("a.json", '{"rows": []}', "list of rows"),
        ("a.json", "[]", "has no rows"),
        ("a.json", "", "is not JSON"),
        ("a.jsonl", "\n", "has no rows"),
        ("a.parquet", "rows", "a.parquet is not parquet"),
    ],
)
def test_broken_files_say_what_is_wrong(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        open_file(tmp_path / name)

"""Names without quotes, in any case: found on either engine, and told from the syntax for MonetDB."""

import functools

import duckdb
import pytest

from optiprov.errors import QueryError
from optiprov.records import Specification
from optiprov.store.monetdb.dialect import translate_query
from optiprov.store.monetdb.spelling import SYNTAX
from tests.store.conftest import begin, end, item, reference

TABLES = {"Extract": ("iExtract", "oExtract"), "Sum": ("oExtract", "oSum")}
ATTRIBUTES = {"iExtract": ["SOURCE"], "oExtract": ["FIRST", "SECOND"], "oSum": ["RESULT"]}


def dfanalyzers_records(dataflow):
    """Return what DfAnalyzer's classes record of two transformations, in names with capitals."""
    sets = {name: {"used": {first: None}, "generated": [last]} for name, (first, last) in TABLES.items()}
    datasets = {
        dataset: [[name, "FILE" if name == "SOURCE" else "NUMERIC"] for name in names]
        for dataset, names in ATTRIBUTES.items()
    }
    row = functools.partial(item, dataflow=dataflow)
    extracted = [row("oExtract", values=[5, 1.5]), row("oExtract", values=["6", "2"])]
    return [
        Specification(dataflow, 1, sets, datasets),
        begin("1", row("iExtract", values="/data/numbers"), transformation="Extract"),
        end("1", *extracted, transformation="Extract"),
        begin("2", *map(reference, extracted), transformation="Sum"),
        end("2", row("oSum", values=6.5), transformation="Sum"),
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            """SELECT i.SOURCE, o.FIRST, o.SECOND FROM iExtract i
               JOIN oExtract o ON i.Extract_task_id = o.Extract_task_id ORDER BY o.FIRST""",
            [("/data/numbers", 5, 1.5), ("/data/numbers", 6, 2.0)],
        ),
        (
            """SELECT source, max(first) AS Most FROM digits.IEXTRACT JOIN Digits.oextract
               USING (extract_task_id) GROUP BY SOURCE HAVING Max(FIRST) > 5 ORDER BY SOURCE NULLS FIRST""",
            [("/data/numbers", 6)],
        ),
        ("SELECT RESULT FROM oSum", [(6.5,)]),
        (
            """WITH Sums AS (SELECT Result AS N, Sum_Task_Id FROM OSUM) SELECT n, Second FROM sums
               JOIN "oExtract" USING (SUM_TASK_ID) WHERE SECOND < CAST('2' AS INTEGER)""",
            [(6.5, 1.5)],
        ),
        (
            "SELECT f.Path, F.role FROM prov.File f JOIN iExtract i ON i.Item = f.item",
            [("/data/numbers", "SOURCE")],
        ),
    ],
    ids=["dfanalyzer", "schema", "view", "with", "prov"],
)
def test_names_without_quotes_are_found_in_any_case(store, sql, expected):
    """Views, schemas and attributes that DfAnalyzer's users have written with capitals."""
    store.commit(*dfanalyzers_records("Digits"))
    assert store.rows(sql) == expected


def test_names_without_quotes_are_found_as_soon_as_they_are_there(store):
    """A dataset, and an attribute more, are known in the very next query; the column is named as it is."""
    with pytest.raises(QueryError, match=r"(?i)train_in"):
        store.rows("SELECT LR FROM Train_In")
    store.commit(end("1", item("Train_In", LR=0.1)))
    assert store.ask.sql("SELECT lr FROM train_in").to_dict("list") == {"LR": [0.1]}
    store.commit(end("2", item("Train_In", LR=0.2, Momentum=0.9)))
    assert store.rows("SELECT MOMENTUM FROM TRAIN_IN WHERE lr > 0.15") == [(0.9,)]


@pytest.mark.parametrize("word", ["disk", "conflict", "too_many", "Nothing"])
def test_name_that_is_unknown_is_an_error_of_the_query(store, word):
    """Whatever it is: MonetDB speaks of trouble in words that may be names."""
    store.commit(end("1", item("Known", X=1)))
    with pytest.raises(QueryError, match=f"(?i){word}"):
        store.rows(f"SELECT X, {word} FROM known")


NAMES = {"iExtract", "SOURCE", "Date", "Year", "First", "Order", "Day", "Max", "low", "By"}


@pytest.mark.parametrize(
    ("sql", "spelled"),
    [
        ("SELECT source FROM IEXTRACT", 'SELECT "SOURCE" FROM "iExtract"'),
        ("SELECT i.order, i . by FROM x i", 'SELECT i."Order", i . "By" FROM x i'),
        ("SELECT LOW, 'source', \"source\"", 'SELECT "low",  \'source\', "source"'),
        ("SELECT max(date) FROM x GROUP BY date", 'SELECT max("Date") FROM x GROUP BY "Date"'),
        ("SELECT DATE '2024-01-31'", "SELECT DATE  '2024-01-31'"),
        ("SELECT CAST(source AS DATE)", 'SELECT CAST("SOURCE" AS DATE)'),
        ("SELECT INTERVAL '1' DAY, day", "SELECT INTERVAL  '1' DAY, \"Day\""),
        ("SELECT EXTRACT(YEAR FROM year)", 'SELECT EXTRACT(YEAR FROM "Year")'),
        ("SELECT 1 ORDER BY first NULLS FIRST", 'SELECT 1 ORDER BY "First" NULLS FIRST'),
        ("SELECT /* source */ 1 -- source", "SELECT   1"),
    ],
)
def test_words_that_are_names_get_quotes(sql, spelled):
    """Those of the syntax do not, where they stand for it; what is quoted is as it was written."""
    assert translate_query(sql, names=NAMES).text == spelled


def test_word_that_is_several_names_is_the_one_written_as_it_is():
    """Without such a one it is left to MonetDB, for which it is in lower case."""
    assert translate_query("SELECT X, x, xX", names={"X", "x", "Xx", "xx"}).text == 'SELECT "X", "x", xX'


def test_words_of_the_syntax_are_those_that_duckdb_keeps_for_itself():
    """What it lets be a name without quotes may be one here as well."""
    kept = (
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
    )
    with duckdb.connect() as engine:
        assert {word for (word,) in engine.execute(kept).fetchall()} - SYNTAX == set()

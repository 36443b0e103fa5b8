"""Conditions in words: what is read, what is refused, and that what is written is read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import QueryError
from optiprov.store.conditions import OPERATORS, Literal, read_condition, write_condition


def read(text):
    """Return field, operator and value, with the value as JSON or text."""
    ((field, condition),) = read_condition(text).items()
    ((operator, value),) = condition.items()
    as_json = [one.as_kind(None) for one in value] if isinstance(value, list) else value.as_kind(None)
    return field, operator, as_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("generated.accuracy > 0.9", ("generated.accuracy", "$gt", 0.9)),
        ("a>=3", ("a", "$gte", 3)),
        ("a<-3", ("a", "$lt", -3)),
        (" a  ==  x ", ("a", "$eq", "x")),
        ("a <> null", ("a", "$ne", None)),
        ("a != true", ("a", "$ne", True)),
        ("a = 007", ("a", "$eq", "007")),
        ('a = "7"', ("a", "$eq", "7")),
        ("a = 'it''s'", ("a", "$eq", "it's")),
        ("a = one two", ("a", "$eq", "one two")),
        ("a = bread and butter", ("a", "$eq", "bread and butter")),
        ('a = "x and b > 2"', ("a", "$eq", "x and b > 2")),
        ("a LIKE ad%", ("a", "$like", "ad%")),
        ("like like like", ("like", "$like", "like")),
        ("a in (1, 2,3)", ("a", "$in", [1, 2, 3])),
        ("a in(adam, 'my, sgd', \"b)\")", ("a", "$in", ["adam", "my, sgd", "b)"])),
        ("a in ()", ("a", "$in", [])),
        ("a in [1]", ("a", "$in", [1])),
        ('used."learning rate" > 1', ("used.learning rate", "$gt", 1)),
        ("'used.learning rate' > 1", ("used.learning rate", "$gt", 1)),
        ("used.größe-2 = 1", ("used.größe-2", "$eq", 1)),
    ],
)
def test_condition_is_read(text, expected):
    """Each operator, quoted or not, with spaces or without."""
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a = 1 and b > 2",
            r"'a = 1 and b > 2' is two conditions; give --where twice: --where 'a = 1' --where 'b > 2'",
        ),
        ('a = "x" && b = 2', "two conditions"),
        ("a = 1 AND b in (1, 2)", "two conditions"),
        ("a = 1 or a = 2", r"joined by `and` only; .* write FIELD in \(A, B\)"),
        ("a ~ 3", "unknown operator '~'; there are =, !=, >, >=, <, <=, like, in."),
        ("a =< 3", "unknown operator '=<'"),
        ("a is null", "unknown operator 'is'"),
        ("a not in (1, 2)", "unknown operator 'not'"),
        ("a in 1, 2", "`in` takes a list, such as"),
        ("a in (it's, 2)", "needs to be quoted"),
        ("a", "write FIELD OPERATOR VALUE"),
        ("a =", "write FIELD OPERATOR VALUE"),
        ("", "write FIELD OPERATOR VALUE"),
        ("= 3", "write FIELD OPERATOR VALUE"),
    ],
)
def test_condition_is_refused_with_what_to_write(text, message):
    """The message repeats the condition and says what would be right."""
    with pytest.raises(QueryError, match=message):
        read_condition(text)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("a", "$gt", 0.9), "a > 0.9"),
        (("a", "$eq", "digits-20260101-1"), "a = digits-20260101-1"),
        (("a", "$eq", "007"), "a = 007"),
        (("a", "$eq", "7"), 'a = "7"'),
        (("a", "$ne", None), "a != null"),
        (("a", "$ne", "null"), 'a != "null"'),
        (("a", "$like", "ad%"), "a like ad%"),
        (("a b", "$in", ["x", "y z", 3]), '"a b" in (x, "y z", 3)'),
        (("a", "$eq", Literal("7")), "a = 7"),
    ],
)
def test_condition_is_written(condition, expected):
    """Quotes only where they are needed."""
    assert write_condition(*condition) == expected


def test_what_cannot_be_written_is_refused():
    """$exists and $not have no form in words."""
    with pytest.raises(QueryError, match=r"'\$exists' cannot be written as a condition"):
        write_condition("a", "$exists", True)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.sampled_from(["null", "1e3"]),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(field=texts, operator=st.sampled_from(sorted(set(OPERATORS) - {"$in"})), value=scalars)
def test_what_is_written_is_read_again(field, operator, value):
    """For any field and any value."""
    assert read(write_condition(field, operator, value)) == (field, operator, value)


@given(field=texts, values=st.lists(scalars))
def test_list_that_is_written_is_read_again(field, values):
    """For any field and any values."""
    assert read(write_condition(field, "$in", values)) == (field, "$in", values)

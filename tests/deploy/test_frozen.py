"""Classes of values that do not change: they are what `dataclass(frozen=True)` makes."""

import copy
import dataclasses

import pytest

from optiprov.deploy.frozen import frozen


@frozen
class Pool:
    """A value with each kind of field."""

    name: str
    threads: int = 40
    tags: list[str] = dataclasses.field(default_factory=list)
    note: str = dataclasses.field(default="", compare=False, repr=False)


@frozen(kw_only=True)
class Large(Pool):
    """A value that inherits fields."""

    limit: int

    def __repr__(self):
        return "large"


def test_fields_are_given_by_place_or_by_name():
    """As a dataclass takes them; defaults are made anew each time."""
    pool = Pool("http", tags=["a"])
    assert (pool.name, pool.threads, pool.tags, pool.note) == ("http", 40, ["a"], "")
    assert Pool("x").tags is not Pool("x").tags
    assert Large("http", 3, limit=4).limit == 4
    assert Pool(name="http", threads=1).threads == 1


@pytest.mark.parametrize(
    ("given", "named", "said"),
    [
        ((), {}, "Pool needs 'name'"),
        (("a",), {"name": "b"}, "Pool got more than its fields"),
        (("a",), {"size": 3}, "Pool got more than its fields: size"),
        (("a", 1, [], "", 5), {}, "Pool got more than its fields"),
    ],
)
def test_wrong_arguments_are_refused(given, named, said):
    """Too few, too many, unknown, or one of them twice."""
    with pytest.raises(TypeError, match=said):
        Pool(*given, **named)


def test_fields_by_name_alone_are_not_taken_by_place():
    """A class that is `kw_only`."""
    with pytest.raises(TypeError, match="Large got more than its fields"):
        Large("http", 3, [], "", 7, limit=4)
    with pytest.raises(TypeError, match="Large needs 'limit'"):
        Large("http", 3)


def test_values_do_not_change():
    """Nor do they lose fields."""
    pool = Pool("http")
    with pytest.raises(dataclasses.FrozenInstanceError):
        pool.threads = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        del pool.threads
    assert pool.threads == 40


def test_values_are_compared_and_shown_by_their_fields():
    """But for those that say no; values of other classes are others."""
    assert Pool("a", note="x") == Pool("a", note="y")
    assert Pool("a") != Pool("b")
    assert Pool("a") != "a"
    assert Large("a", limit=1) != Pool("a")
    assert repr(Pool("a", note="x")) == "Pool(name='a', threads=40, tags=[])"
    assert repr(Large("a", limit=1)) == "large"
    assert hash(Pool("a", 1, ())) == hash(Pool("a", 1, ()))


def test_values_are_dataclasses():
    """Fields, copies, and copies with changes are as usual."""
    pool = Pool("http", 3)
    assert [each.name for each in dataclasses.fields(pool)] == ["name", "threads", "tags", "note"]
    assert dataclasses.replace(pool, threads=4) == Pool("http", 4)
    assert dataclasses.asdict(pool) == {"name": "http", "threads": 3, "tags": [], "note": ""}
    assert copy.deepcopy(pool) == pool

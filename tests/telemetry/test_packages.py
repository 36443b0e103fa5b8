"""The installed packages, as the names of the metadata directories tell."""

from importlib import metadata

from packaging.utils import canonicalize_name

from optiprov.telemetry.packages import installed_packages


def test_packages_are_those_that_importlib_finds():
    """Names and versions of this very environment, without a file opened for each."""
    there = {}
    for distribution in metadata.distributions():
        there.setdefault(str(canonicalize_name(distribution.name)), distribution.version)
    assert len(there) > 50
    assert installed_packages() == there


def test_first_place_wins_and_each_form_is_read(tmp_path):
    """Wheels, egg-info files, and the egg-info of a source tree, whose version is inside."""
    for name in ("first/Some.Name-1.0.dist-info", "second/some_name-2.0.dist-info", "second/tree.egg-info"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "second" / "old_one-0.3-py3.11.egg-info").write_text("")
    (tmp_path / "second" / "nameless.egg-info").mkdir()
    (tmp_path / "second" / "tree.egg-info" / "PKG-INFO").write_text(
        "Name: tree\nVersion: 4.5\n\nVersion: 6\n"
    )
    places = [str(tmp_path / name) for name in ("first", "second", "absent")]
    assert installed_packages(places) == {"old-one": "0.3", "some-name": "1.0", "tree": "4.5"}

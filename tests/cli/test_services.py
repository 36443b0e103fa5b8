"""`optiprov services`: what there is, and what the user adds and removes."""

import json

import pytest

BOARD = '''\
from optiprov import Service


class Board(Service):
    """A board."""

    def deploy(self):
        self.register_service()
'''
LAYERS = "environment: {local: }\nlayers: [{name: cloud, services: [{name: Board}]}]\n"


@pytest.fixture(autouse=True)
def added(monkeypatch, tmp_path):
    """Where added services go."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "optiprov" / "services"


@pytest.fixture
def board(tmp_path):
    """The file of a service."""
    path = tmp_path / "Board.py"
    path.write_text(BOARD)
    return path


def test_added_service_is_found_by_every_scenario(optiprov, board, added, tmp_path):
    """Adding twice changes nothing, removing takes it away, removing twice says that there is none."""
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    (scenario / "layers_services.yaml").write_text(LAYERS)
    (scenario / "workflow.yaml").write_text("[]\n")
    assert optiprov("check", scenario)[1].endswith("cloud.board.1.1 on local\n")
    status, output, _ = optiprov("services", "add", board)
    assert (status, output) == (0, f"Board: {added / 'Board.py'}\n")
    assert optiprov("services", "add", board)[:2] == (0, f"Board: is there already: {added / 'Board.py'}\n")
    assert optiprov("check", scenario)[1].endswith(f"on local, by Board of {added / 'Board.py'}:4\n")
    status, output, errors = optiprov("deploy", scenario, "--destroy")
    assert status == 0, errors
    assert optiprov("services", "remove", "Board")[:2] == (0, f"Board: removed {added / 'Board.py'}\n")
    assert list(added.iterdir()) == []
    status, output, _ = optiprov("services", "remove", "Board")
    assert (status, output) == (0, f"Board: nothing of this name was added to {added}.\n")


def test_list_shows_where_each_comes_from(optiprov, board, tmp_path):
    """Those of a scenario, those that were added, those that ship; as a table and as JSON."""
    optiprov("services", "add", board)
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "Flink.py").write_text(BOARD.replace("Board", "Flink"))
    rows = json.loads(optiprov("services", "list", tmp_path, "--format", "json")[1])
    assert [(row["name"], row["origin"]) for row in rows] == [
        ("Flink", "scenario"),
        ("Board", "added"),
        ("Container", "shipped"),
        ("Mosquitto", "shipped"),
        ("Provenance", "shipped"),
    ]
    assert rows[0]["place"] == f"{tmp_path}/artifacts/Flink.py:4"
    lines = optiprov("services", "list")[1].splitlines()
    assert lines[0].split(maxsplit=2)[:2] == ["Board", "added"]
    assert lines[0].endswith("Board.py:4  A board.")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"Board.py:1: has no subclass of Service"),
        (BOARD.replace("deploy", "install"), r"Board.py:4: the class Board has no method deploy"),
        ("class (:\n", r"Board.py:1: is no Python"),
    ],
)
def test_file_that_is_no_service_is_not_added(text, message, optiprov, board, added):
    """The message has the line; nothing is copied."""
    board.write_text(text)
    status, _, errors = optiprov("services", "add", board)
    assert status == 2
    assert message in errors
    assert not added.exists()


def test_another_file_of_the_name_is_kept_unless_replaced(optiprov, board, added):
    """Also one of another name with such a class, which then goes."""
    optiprov("services", "add", board)
    other = board.with_name("boards.py")
    other.write_text(BOARD.replace("A board", "Another"))
    status, _, errors = optiprov("services", "add", other)
    assert status == 2
    assert "is there already, with something else in it. Replace it: --replace." in errors
    assert optiprov("services", "add", other, "--replace")[0] == 0
    assert [path.name for path in added.iterdir()] == ["boards.py"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "not_there.py"), "not_there.py: does not exist. Give the file of a class"),
        (("add", "."), ".: is no Python file. Give the file of a class"),
        (("remove", "Mosquitto"), "Mosquitto: was not added; it comes with a package"),
        (("list", "not_there"), "not_there: is not a directory"),
    ],
)
def test_what_cannot_be_done_is_told(arguments, message, optiprov):
    """With exit status 2."""
    status, _, errors = optiprov("services", *arguments)
    assert status == 2
    assert message in errors

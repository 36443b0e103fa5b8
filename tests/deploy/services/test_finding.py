"""Which class deploys a service, found and checked without running it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optiprov.deploy import check_scenario
from optiprov.deploy.services.reading import read_file

HEAD = "from optiprov import Service\n"
BODY = "    def deploy(self):\n        self.register_service({})\n"
BOARD = f"{HEAD}class Board(Service):\n    '''A board.'''\n{BODY.format('')}"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"Board": BOARD}, 2),
        ({"all_of_them": f"{BOARD}class Other(Service):\n{BODY.format('')}"}, 2),
        ({"Board": BOARD.replace("class Board", "class Whatever")}, 2),
        (
            {
                "x": BOARD.replace("from optiprov import Service", "import optiprov").replace(
                    "(S", "(optiprov.S"
                )
            },
            2,
        ),
        ({"x": BOARD.replace("from optiprov", "from e2clab.services")}, 2),
        ({"x": BOARD.replace("Service\n", "Service as S\n").replace("(Service)", "(S)")}, 2),
        ({"x": f"{HEAD}class Base(Service):\n{BODY.format('')}class Board(Base): pass\n"}, 5),
        ({"Board": f"{HEAD}class Base(Service):\n{BODY.format('')}class Leaf(Base): pass\n"}, 5),
        ({"x": "from optiprov.deploy.services import Mosquitto\nclass Board(Mosquitto): pass\n"}, 2),
    ],
)
def test_class_is_found_by_its_name_or_that_of_its_file(files, line, check_services):
    """However it imports Service, and also through another class, of the file or of ours."""
    scenario, problems = check_services(files)
    assert problems == []
    source = scenario.services["Board"]
    assert (source.path.stem, source.line, source.origin) == (next(iter(files)), line, "scenario")
    assert set(scenario.services) == {"Board"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Board": f"{HEAD}def deploy(self): pass\n"}, r"Board.py:1: has no subclass of Service"),
        (
            {"Board": f"{HEAD}class Board:\n    pass\n"},
            r"Board.py:2: the class Board is no subclass of Service",
        ),
        (
            {"Board": f"{HEAD}class Board(Service):\n    x = 1\n"},
            r"Board.py:2: the class Board has no method deploy",
        ),
        ({"Board": f"{HEAD}class Board(Service:\n"}, r"Board.py:2: is no Python"),
        (
            {"a": BOARD, "b": BOARD},
            r"layers_services.yaml:3: services.name: two classes for the",
        ),
        (
            {"Board": BOARD.replace("Board", "A") + BOARD.replace("Board", "B")},
            r"two classes for the service",
        ),
    ],
)
def test_file_that_cannot_be_used_is_told(files, message, check_services):
    """With the line of the file, or of the service where the file alone is fine."""
    import re

    scenario, problems = check_services(files)
    assert scenario is None
    assert len(problems) == 1
    assert re.search(message, problems[0])


@pytest.mark.parametrize("text", ["print('Service')\n", "class Board:\n    pass\n", "def (:\n"])
def test_application_with_the_name_of_a_service_is_none(text, check_services):
    """A file of the artifacts that imports nothing of ours is what the workflow makes of it."""
    scenario, problems = check_services({"Board": text})
    assert problems == []
    assert scenario.services == {}


def test_checking_runs_nothing(check_services, tmp_path):
    """The code of a service is read, not imported; in a class that would fail."""
    ran = tmp_path / "ran"
    scenario, _ = check_services({"Board": f"open({str(ran)!r}, 'w')\nimport not_there\n{BOARD}"})
    assert scenario.services["Board"].about == "A board."
    assert not ran.exists()


def test_class_of_the_scenario_goes_before_one_that_was_added(check_services, tmp_path):
    """And both before one of ours; the check knows which."""
    added = tmp_path / "data" / "optiprov" / "services"
    added.mkdir(parents=True)
    (added / "Board.py").write_text(BOARD)
    (added / "Mosquitto.py").write_text(BOARD.replace("Board", "Mosquitto"))
    layers = "environment: {local: }\nlayers:\n- {name: a, services: [{name: Board}, {name: Mosquitto}]}\n"
    scenario, _ = check_services({}, layers=layers)
    assert {source.origin for source in scenario.services.values()} == {"added"}
    scenario, _ = check_services({"Board": BOARD}, layers=layers)
    assert {name: one.origin for name, one in scenario.services.items()} == {
        "Board": "scenario",
        "Mosquitto": "added",
    }


def test_installed_class_is_found_by_its_entry_point(tmp_path, write_services):
    """A package that is installed brings services; a process that has it on its path finds them."""
    package = tmp_path / "site"
    (package / "boards-1.0.dist-info").mkdir(parents=True)
    (package / "boards-1.0.dist-info" / "entry_points.txt").write_text(
        "[optiprov.services]\nBoard = boards:B\n"
    )
    (package / "boards-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: boards\nVersion: 1.0\n"
    )
    (package / "boards.py").write_text(BOARD.replace("class Board", "class B"))
    scenario = write_services({}, "- hosts: cloud.board.1.1\n  launch:\n    - shell: cat /dev/null\n")
    environment = {**os.environ, "PYTHONPATH": str(package)}
    for command in (["check"], ["deploy", "--destroy"], ["services", "list"]):
        done = subprocess.run(
            [sys.executable, "-m", "optiprov.cli", *command, str(scenario)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "Board       installed  boards:B" in done.stdout


PATTERNS = "- hosts: {}\n  launch:\n    - shell: echo {{{{ _self.anything }}}}\n"


@pytest.mark.parametrize(
    ("pattern", "is_right"),
    [
        ("cloud.board.*", True),
        ("cloud.board.1.master", True),
        ("cloud.board.1.master.1", True),
        ("managers", True),
        ("cloud.board.1.mastr", False),
        ("cloud.bord", False),
        ("manager", False),
    ],
)
def test_patterns_may_name_what_a_class_registers(pattern, is_right, check_services):
    """Sub services and roles by the texts of the class; a misspelled one is told before deploying."""
    registers = BODY.format("roles={'managers': self.hosts}, sub_service='Master'")
    board = f"{HEAD}class Board(Service):\n{registers}"
    _, problems = check_services({"Board": board}, PATTERNS.format(pattern))
    assert (problems == []) is is_right
    made = board.replace("'Master'", "f'x{1}'")
    assert read_file_of(made).words is None


def read_file_of(text, path=Path("a.py")):
    """What is read of a file with a text."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / path).write_text(text)
        return read_file(Path(directory) / path)


def test_patterns_of_sub_services_that_nobody_registers_are_told(check_services):
    """Those that ship register their hosts as they are."""
    layers = "environment: {local: }\nlayers: [{name: cloud, services: [{name: Provenance}]}]\n"
    _, problems = check_services({}, PATTERNS.format("cloud.provenance.1"), layers)
    assert problems == []
    _, problems = check_services({}, PATTERNS.format("cloud.provenance.1.store"), layers)
    assert "got 'cloud.provenance.1.store', which matches no service" in problems[0]


def test_networks_lie_between_hosts_of_the_scenario(write_services):
    """A rule for a sub service would never apply: it is told, one for the service is right."""
    registers = BODY.format("sub_service='master'")
    scenario = write_services({"Board": f"{HEAD}class Board(Service):\n{registers}"})
    rule = "networks: [{{src: {}, dst: edge, delay: 1ms, rate: 1gbit}}]\n"
    (scenario / "network.yaml").write_text(rule.format("cloud.board"))
    assert check_scenario(scenario).problems == ()
    (scenario / "network.yaml").write_text(rule.format("cloud.board.1.master"))
    (problem,) = check_scenario(scenario).problems
    assert "network.yaml:1: networks.src: got 'cloud.board.1.master', which matches no service" in str(
        problem
    )


def test_enoslib_that_is_not_installed_stops_deploying(check_services):
    """The check tells the line of the import, and what to use instead."""
    scenario, _ = check_services({"Board": f"import enoslib as en\n{BOARD}"})
    (obstacle,) = scenario.obstacles
    assert "Board.py:1 imports enoslib: enoslib is not installed" in obstacle.message
    assert "self.run" in obstacle.message
    scenario, _ = check_services({"Board": f"try:\n    import enoslib\nexcept ImportError: pass\n{BOARD}"})
    assert scenario.obstacles == ()


def test_plain_scenario_imports_nothing_of_services(write_services):
    """Checking it costs what it did."""
    scenario = write_services({"client": "print('hello')\n"})
    code = (
        "import sys; from pathlib import Path; from optiprov.deploy import load_scenario; "
        f"load_scenario(Path({str(scenario)!r})); "
        "print([name for name in sys.modules if name.startswith('optiprov.deploy.services')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

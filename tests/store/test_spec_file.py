"""Specifications in YAML: what they say, and every problem with file, line and key."""

import pytest

from optiprov.errors import SpecificationError
from optiprov.store.spec_file import read_spec_file
from optiprov.store.specification import DataflowSpecification
from tests.docs.pages import DOCS, blocks

GOOD = """\
dataflow: digits
transformations:
  extraction: {uses: [images], generates: [features]}
  training:
    uses: [features, training_input]
    generates: [training_output]
    programs: {train: bin/train.py}
  report: {uses: [features, training_output]}
datasets:
  images: {path: file}
  features: {num_features: numeric}
  training_input: {kernel_size: NUMERIC, optimizer: text, 7: text}
  training_output:
"""


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path."""

    def to_file(text):
        path = tmp_path / "dataflow.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def test_file_says_what_the_classes_would(write):
    """Attributes in order, and the transformation that each used dataset comes from."""
    specification = read_spec_file(write(GOOD))
    assert specification.dataflow == "digits"
    assert specification.transformations["training"] == {
        "used": {"features": "extraction", "training_input": None},
        "generated": ["training_output"],
        "programs": [["train", "bin/train.py"]],
    }
    assert specification.transformations["report"]["used"] == {
        "features": "extraction",
        "training_output": "training",
    }
    assert specification.datasets["training_input"] == [
        ["kernel_size", "NUMERIC"],
        ["optimizer", "TEXT"],
        ["7", "TEXT"],
    ]
    assert specification.datasets["training_output"] == []


def test_file_is_a_specification_that_a_store_takes(write, store):
    """It is read, encoded, decoded and stored."""
    outcome = store.commit(read_spec_file(write(GOOD)))
    assert (outcome.records, outcome.rejected) == (1, 0)
    assert store.rows("SELECT transformation FROM prov.transformation ORDER BY position") == [
        ("extraction",),
        ("training",),
        ("report",),
    ]
    assert DataflowSpecification.read(read_spec_file(write(GOOD)), "c", None).attributes["images"] == {
        "path": "FILE"
    }


def test_example_of_the_documentation_is_right(write):
    """And it is what the page says: four attributes in this order."""
    (text,) = (text for language, _, text in blocks(DOCS / "provenance.md") if language == "yaml")
    specification = read_spec_file(write(text))
    assert [name for name, _ in specification.datasets["training_input"]] == [
        "kernel_size",
        "num_kernels",
        "strides",
        "optimizer",
    ]


PROBLEMS = [
    ("dataflow: digits", "dataflow: []", [":1: 'dataflow' needs a name"]),
    ("dataflow: digits\n", "", [":1: 'dataflow' is missing. Add it."]),
    ("generates: [features]", "generates: features", [":3: extraction.generates needs a list of datasets"]),
    (
        "uses: [images]",
        "uses: [image]",
        [":3: extraction.uses has 'image', which is not in 'datasets'. Did you mean 'images'?"],
    ),
    ("uses: [images]", "uses: [images, images]", [":3: extraction.uses has 'images' twice"]),
    ("programs:", "program:", [":7: 'training' has the unknown key 'program'. Did you mean 'programs'?"]),
    ("path: file", "path: real", [":10: datasets.images.path is 'real'. Give one of text, numeric, file."]),
    ("path: file", "path: file, path: text", [":10: datasets.images has 'path' twice. Remove one."]),
    ("{path: file}", "file", [":10: datasets.images needs a mapping"]),
    ("dataflow: digits", "dataflow: {digits", [":2: is not YAML"]),
    (
        "extraction: {uses: [images]",
        "extraction: {uses: [x], use: 1",
        [":3: 'extraction' has the unknown key 'use'. Did you mean 'uses'?", ":3: extraction.uses has 'x'"],
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), PROBLEMS)
def test_each_problem_has_file_line_and_key(write, old, new, said):
    """All problems of a file are told at once."""
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    with pytest.raises(SpecificationError) as error:
        read_spec_file(path)
    lines = str(error.value).splitlines()
    assert len(lines) == len(said)
    for line, start in zip(lines, said, strict=True):
        assert line.startswith(f"{path}{start}")


def test_file_that_is_not_there_or_empty_is_a_clear_error(write, tmp_path):
    """With the path."""
    with pytest.raises(SpecificationError, match=r"none.yaml: cannot be read"):
        read_spec_file(tmp_path / "none.yaml")
    with pytest.raises(SpecificationError, match=r"dataflow.yaml:1: 'datasets' is missing"):
        read_spec_file(write(""))

import pytest

from optiprov.deploy.templating import TemplateError, render, syntax_problem

VARIABLES = {"optimization_config": {"kernel_size": 3, "items": 7}, "working_dir": "/w"}


def test_render_enters_lists_and_mappings():
    """Every text in a value is rendered; an expression alone gives its value, numbers stay numbers."""
    value = {"cmd": "ls {{ working_dir }}", "argv": ["{{ optimization_config.kernel_size }}", 5]}
    assert render(value, VARIABLES) == {"cmd": "ls /w", "argv": [3, 5]}


def test_render_takes_the_key_when_mapping_has_a_method_of_that_name():
    """A hyperparameter called `items` is not the method of the mapping."""
    assert render("{{ optimization_config.items }}", VARIABLES) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ nowhere }}", "variable 'nowhere' is not defined; there are: optimization_config, working_dir"),
        ("{{ optimization_config.lr }}", "key 'lr' is not in the mapping; there are: items, kernel_size"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
def test_render_fails_when_a_variable_is_undefined(text, message):
    """The message names the variable and those that there are."""
    with pytest.raises(TemplateError, match=message):
        render(text, VARIABLES)


def test_syntax_problem_tells_what_is_wrong():
    """Templates can be checked without variables."""
    assert syntax_problem("echo ${HOME} {{ a }}") is None
    assert "end of" in syntax_problem("{{ a")

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.deploy.modules.modes import permission_bits

SYMBOLS = st.builds(
    "{}{}{}".format,
    st.text("ugoa", min_size=1, max_size=2),
    st.sampled_from("+-="),
    st.one_of(st.text("rwxX", max_size=3), st.sampled_from("ugo")),
)


@settings(deadline=None)
@given(st.integers(0, 0o7777))
def test_octal_digits_are_read(mode):
    """With and without a leading zero, and as the number that YAML makes of it."""
    assert permission_bits(f"{mode:04o}") == permission_bits(f"{mode:o}") == permission_bits(mode) == mode


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 0o777), st.lists(SYMBOLS, min_size=1, max_size=3), st.booleans())
def test_symbols_do_what_chmod_does(tmp_path_factory, mode, symbols, is_directory):
    """chmod(1) makes the same of them, for files and directories."""
    path = tmp_path_factory.mktemp("modes") / "path"
    path.mkdir() if is_directory else path.touch()
    path.chmod(mode)
    text = ",".join(symbols)
    subprocess.run(["chmod", text, str(path)], check=True)
    assert permission_bits(text, mode, is_directory=is_directory) == path.stat().st_mode & 0o7777


@pytest.mark.parametrize("mode", ["u", "rwx", "8", "u+z", "", "+-"])
def test_mode_is_refused_when_it_is_none(mode):
    """The message tells what there may be."""
    with pytest.raises(ValueError, match="expected octal digits"):
        permission_bits(mode)

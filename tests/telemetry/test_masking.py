"""Secrets are masked wherever they may stand; what an experiment is about is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.telemetry.masking import MASK, is_secret_name, mask_arguments, mask_text

SECRET = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=12, max_size=40)
NAMES = [
    "--token",
    "--api-key",
    "--password",
    "--db_password",
    "--authToken",
    "-passwd",
    "--AWS_SECRET_ACCESS_KEY",
]


@given(secret=SECRET, name=st.sampled_from(NAMES))
def test_value_of_a_secret_option_is_masked_in_each_form(secret, name):
    """Behind the option, after =, in a URL, in a header, in JSON, in code, in a list of settings."""
    word = name.lstrip("-")
    forms = [
        ["run.py", name, secret, "--lr", "0.1"],
        ["run.py", f"{name}={secret}"],
        ["run.py", f"{word}={secret}"],
        ["run.py", f"https://host/path?a=b&{word}={secret}&c=d"],
        ["run.py", f"mqtt://user:{secret}@host:1883"],
        ["run.py", f"https://{secret}@host/repository"],
        ["run.py", f"Authorization: Bearer {secret}"],
        ["run.py", f'{{"lr": 0.1, "{word}": "{secret}"}}'],
        ["-c", f"import x; {word} = '{secret}'; x.run()"],
        ["run.py", f"--options=lr=0.1,{word}={secret}"],
    ]
    for arguments in forms:
        masked = mask_arguments(arguments)
        assert secret not in " ".join(masked)
        assert MASK in " ".join(masked)
        assert len(masked) == len(arguments)


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1B2" * 9,
        "hf_" + "a1B2" * 8,
        "sk-" + "a1B2" * 8,
        "AKIA" + "A1B2" * 4,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_token_of_a_known_shape_is_masked_anywhere(token):
    """Even where nothing says what it is."""
    assert mask_text(f"run {token} now") == f"run {MASK} now"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train.py", "--lr", "0.1", "--max-tokens", "512", "--kernel-size=3"],
        ["train.py", "--keyboard", "us", "--author", "Ada", "--tokenizer=bpe", "--passes", "3"],
        ["python", "-m", "package.module", "http://host:22000/path?x=1", "a=b", "C:\\data"],
    ],
)
def test_other_arguments_stay_as_they_are(arguments):
    """Hyperparameters and addresses are what an experiment is about."""
    assert mask_arguments(arguments) == arguments


def test_option_behind_a_flag_of_a_secret_name_is_not_taken_for_its_value():
    """`--auth` may be a switch: the next option is an option."""
    assert mask_arguments(["x", "--auth", "--lr", "1"]) == ["x", "--auth", "--lr", "1"]


@given(text=st.text(max_size=200))
def test_masking_takes_any_text(text):
    """Arguments are anything; masking again changes nothing more."""
    masked = mask_text(text)
    assert mask_text(masked).count("\n") == masked.count("\n")
    is_secret_name(text)

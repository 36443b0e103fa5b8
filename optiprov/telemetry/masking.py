"""Keeps secrets out of what is recorded: passwords, tokens and keys in arguments and addresses."""

from __future__ import annotations

import re
from typing import Iterable, List, Match

MASK = "***"

_SECRET_ANYWHERE = ("password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials")
_SECRET_AT_END = ("key", "token", "auth", "authorization", "pass", "pwd", "pw", "bearer", "cookie")
_SECRET_ENDINGS = ("password", "passwd", "secret", "token", "apikey", "accesskey", "secretkey", "passphrase")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
_USER_INFO = re.compile(r"(?<=://)[^/?#\s]+(?=@)")
_ASSIGNED = re.compile(r"([A-Za-z][\w.-]*)([\"']?\s*(?:=|:(?!//))\s*)(\"[^\"]*\"?|'[^']*'?|[^\s&;,\"']+)")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+")
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|sk-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{12,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
"""Tokens that are known by their shape: of GitHub, GitLab, Hugging Face, OpenAI, Slack, AWS, Google; JWTs."""


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret: a password, a token, a key.

    >>> [is_secret_name(name) for name in ("--api-key", "DB_PASSWORD", "accessToken", "key")]
    [True, True, True, True]
    >>> [is_secret_name(name) for name in ("max_tokens", "keyboard", "kernel_size", "token_file")]
    [False, False, False, False]
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    return (
        words[-1] in _SECRET_AT_END
        or any(word in _SECRET_ANYWHERE for word in words)
        or words[-1].endswith(_SECRET_ENDINGS)
    )


def mask_text(text: str) -> str:
    """Mask the secrets in a text.

    >>> mask_text("mqtt://edge:pa55@broker:1883")
    'mqtt://***@broker:1883'
    >>> mask_text("lr=0.1 api_key=abc")
    'lr=0.1 api_key=***'
    """
    text = _USER_INFO.sub(MASK, text)
    text = _SCHEME.sub(lambda found: f"{found[1]} {MASK}", text)
    return _KNOWN.sub(MASK, _ASSIGNED.sub(_mask_value, text))


def _mask_value(found: Match[str]) -> str:
    name, separator, value = found.groups()
    return name + separator + (MASK if is_secret_name(name) else _ASSIGNED.sub(_mask_value, value))


def mask_arguments(arguments: Iterable[str]) -> List[str]:
    """Mask the secrets in the arguments of a command.

    >>> mask_arguments(["train.py", "--token", "abc", "--password=x", "--lr", "0.1"])
    ['train.py', '--token', '***', '--password=***', '--lr', '0.1']
    """
    masked: List[str] = []
    is_value = False  # of an option that holds a secret
    for argument in arguments:
        if is_value and not argument.startswith("--"):
            masked.append(MASK)
            is_value = False
            continue
        masked.append(mask_text(argument))
        is_value = argument.startswith("-") and "=" not in argument and is_secret_name(argument)
    return masked

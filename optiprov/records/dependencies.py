"""How a dependency names a task: by its id alone, or by its transformation and its id."""

from __future__ import annotations

from typing import Optional, Tuple

_MARK = "\x1f"  # ASCII's unit separator, which no id of an application begins with


def qualify_dependency(transformation: str, task_id: str) -> str:
    """Return the text of a dependency on a task whose transformation is known.

    >>> read_dependency(qualify_dependency("train", "7"))
    ('train', '7')
    """
    return _MARK + transformation + _MARK + task_id


def read_dependency(text: str) -> Tuple[Optional[str], str]:
    """Return the transformation, None where it was not told, and the id of the task.

    >>> read_dependency("7")
    (None, '7')
    """
    if not text.startswith(_MARK):
        return None, text
    transformation, mark, task_id = text[1:].partition(_MARK)
    return (transformation, task_id) if mark else (None, text)

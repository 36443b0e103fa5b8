"""One task on one host: when it runs, for which items, how often, and what becomes of its result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from optiprov.deploy.attempts import Attempt, Tried
from optiprov.deploy.frozen import frozen
from optiprov.deploy.loops import items_of
from optiprov.deploy.template_values import plain
from optiprov.deploy.templating import TemplateError, evaluate, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.tasks import Conditions, Loop, Task
    from optiprov.deploy.workbench import Workbench

LABEL_LENGTH = 100


class Control(Protocol):
    """The stage that an execution is a part of."""

    @property
    def is_over(self) -> bool:
        """Whether what ends now ends because the stage was stopped or has failed."""

    def pause(self, seconds: float) -> None:
        """Wait, not longer than the stage goes on."""

    def follow(self, attempt: Attempt) -> None:
        """Take care of what was started in the background."""


@frozen
class Executed:
    """What became of a task on a host.

    Attributes:
        results: What is recorded, one for each item.
        registered: What the task registers.
        failure: The result that fails the host; None if there is none, or it is ignored.
    """

    results: list[TaskResult]
    registered: dict[str, Any]
    failure: TaskResult | None


class Execution:
    """The execution of one task on one host, with Ansible's semantics; used by one thread.

    Args:
        workbench: What it is executed with.
        stage: In which stage.
        task: The task.
        host: The host.
        variables: What its templates may use.
        control: The stage.
    """

    def __init__(
        self,
        workbench: Workbench,
        stage: str,
        task: Task,
        host: Host,
        variables: Mapping[str, Any],
        control: Control,
    ) -> None:
        self._workbench = workbench
        self._stage = stage
        self._task = task
        self._host = host
        self._variables = dict(variables)
        self._control = control

    def run(self) -> Executed:
        """Execute the task for all of its items.

        Raises:
            StoppedError: The deployment is being stopped.
        """
        task = self._task
        try:
            for name, value in task.variables.items():
                self._variables[name] = render(value, self._variables)
            items = None if task.loop is None else self._items(task.loop)
        except TemplateError as error:
            return self._executed([self._attempt(self._variables, None).failed(str(error))])
        if items is None or task.loop is None:
            return self._executed([self._one(self._variables, None)])
        tried = []
        for index, item in enumerate(items):
            if self._control.is_over:
                break
            if index and task.loop.pause_s:
                self._control.pause(task.loop.pause_s)
            tried.append(self._item(task.loop, item, index, items))
        return self._executed(tried, is_loop=True)

    def _items(self, loop: Loop) -> list[Any] | None:
        """The items; None for a loop over something undefined that the task's conditions skip."""
        try:
            return items_of(loop, self._variables)
        except TemplateError:
            if self._false_condition(self._task.when, self._variables) is None:
                raise
            return None

    def _item(self, loop: Loop, item: Any, index: int, items: list[Any]) -> Tried:
        variables = {**self._variables, loop.variable: item}
        variables["ansible_loop"] = {
            "index": index + 1,
            "index0": index,
            "first": index == 0,
            "last": index == len(items) - 1,
            "length": len(items),
            "allitems": items,
        }
        if loop.index_variable is not None:
            variables[loop.index_variable] = index
        try:
            label = item if loop.label is None else render(loop.label, variables)
        except TemplateError as error:
            return self._attempt(variables, None).failed(f"loop_control.label: {error}")
        tried = self._one(variables, str(plain(label))[:LABEL_LENGTH])
        return Tried(
            {**tried.registered, loop.variable: item, "ansible_loop_var": loop.variable}, tried.result
        )

    def _one(self, variables: dict[str, Any], label: str | None) -> Tried:
        """The task for one item: tried until it is as it should be, or often enough."""
        attempt = self._attempt(variables, label)
        try:
            false = self._false_condition(self._task.when, variables)
            if false is not None:
                return attempt.skipped(false[0])
            retry = self._task.retry
            retries = 0 if retry is None else int(render(retry.retries, variables))
            for number in range(retries + 1):
                tried = self._judged(self._try(attempt), variables)
                if retry is None or self._control.is_over or self._is_as_wanted(tried, variables):
                    return tried
                if number < retries:
                    self._control.pause(float(render(retry.delay_s, variables)))
                    attempt = self._attempt(variables, label)
        except (TemplateError, ValueError) as error:
            return attempt.failed(str(error))
        message = tried.result.message or f"not as `until` wants it after {retries + 1} tries"
        registered = {**tried.registered, "failed": True, "attempts": retries + 1}
        return Tried(registered, replace(tried.result, outcome="failed", message=message))

    def _try(self, attempt: Attempt) -> Tried:
        if not self._task.is_background:
            return attempt.run(is_over=lambda: self._control.is_over)
        tried = attempt.begin()
        if attempt.has_process:
            self._control.follow(attempt)
        return tried

    def _judged(self, tried: Tried, variables: Mapping[str, Any]) -> Tried:
        """The result with what `changed_when` and `failed_when` make of it."""
        registered, result, task = dict(tried.registered), tried.result, self._task
        if result.outcome in ("skipped", "stopped", "started"):
            return tried
        if task.changed_when is not None:
            registered["changed"] = self._holds(task.changed_when, variables, registered)
        if task.failed_when is not None:
            has_failed = self._holds(task.failed_when, variables, registered)
            registered |= {"failed": has_failed, "failed_when_result": has_failed}
            message = f"failed_when: {' and '.join(map(str, task.failed_when))}"
            outcome, message = ("failed", message) if has_failed else ("done", result.message)
            result = replace(result, outcome=outcome, message=message)
        return Tried(registered, replace(result, is_changed=bool(registered.get("changed"))))

    def _is_as_wanted(self, tried: Tried, variables: Mapping[str, Any]) -> bool:
        retry = self._task.retry
        if retry is None or not retry.until:
            return not tried.registered.get("failed", False)
        return self._holds(retry.until, variables, tried.registered)

    def _holds(
        self, conditions: Conditions, variables: Mapping[str, Any], registered: Mapping[str, Any]
    ) -> bool:
        own = {} if self._task.register is None else {self._task.register: registered}
        return self._false_condition(conditions, {**variables, **own}) is None

    @staticmethod
    def _false_condition(conditions: Conditions, variables: Mapping[str, Any]) -> tuple[Any] | None:
        """The first condition that does not hold, in a tuple as it may be None itself."""
        return next(((condition,) for condition in conditions if not evaluate(condition, variables)), None)

    def _attempt(self, variables: Mapping[str, Any], label: str | None) -> Attempt:
        task = self._task
        asks = (task.register, task.failed_when, task.changed_when, task.retry)
        return Attempt(
            self._workbench,
            self._stage,
            task,
            self._host,
            variables,
            item=label,
            needs_output=any(one is not None for one in asks),
        )

    def _executed(self, tried: list[Tried], *, is_loop: bool = False) -> Executed:
        is_ignored = self._ignores_errors(tried)
        results = [
            replace(one.result, is_ignored=is_ignored and one.result.outcome == "failed") for one in tried
        ]
        failed = [result for result in results if result.outcome == "failed"]
        registered = tried[0].registered if not is_loop else _of_loop([one.registered for one in tried])
        return Executed(results, registered, failed[0] if failed and not is_ignored else None)

    def _ignores_errors(self, tried: list[Tried]) -> bool:
        if not any(one.result.outcome == "failed" for one in tried):
            return False
        try:
            return evaluate(self._task.ignore_errors, self._variables)
        except TemplateError:
            return False


def _of_loop(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What a task with a loop registers."""
    all_skipped = all(result.get("skipped", False) for result in results)
    registered: dict[str, Any] = {
        "results": results,
        "changed": any(result.get("changed", False) for result in results),
        "skipped": all_skipped,
        "msg": "All items skipped" if all_skipped else "All items completed",
    }
    if any(result.get("failed", False) for result in results):
        registered |= {"failed": True, "msg": "One or more items failed"}
    elif not all_skipped:
        registered["failed"] = False
    return registered

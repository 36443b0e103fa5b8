"""Every error that optiprov raises, in one tree.

Each class is also a builtin exception, so that callers who do not know optiprov can catch what they
expect. A message says where the problem is, what was received, and what to do about it.

    OptiprovError
    |-- InputError (ValueError)             the input is wrong; the command line exits with 2
    |   |-- ScenarioError                   a scenario file: file:line, key
    |   |-- SearchSpaceError                a search space file: file:line, key
    |   |-- SpecificationError              a dataflow's specification file: file:line, key
    |   |-- OptimizationFileError           a script without a usable Optimization
    |   |-- QueryError                      an unknown field, operator, statement or start of a lineage
    |   |-- UrlError                        a store, service or broker address
    |   |-- NoStoreError                    what is named as a store is absent, or something else
    |   `-- CredentialsError (PermissionError)  credentials that are absent, refused or not sound
    |-- WorkError (RuntimeError)            the work failed; the command line exits with 1
    |   |-- DeploymentError                 a task of the scenario failed on a host
    |   |   `-- HostUnavailable (ConnectionError) a host that cannot be reached, or whose connection was lost
    |   |-- ApplicationError                the application of a trial ended badly
    |   |-- MetricError (LookupError)       a metric that is absent or not a finite number
    |   |-- StudyError                      a study in which no trial succeeded
    |   |-- StudyInterrupted                a study that was interrupted (Ctrl-C)
    |   `-- StoreError                      the store cannot be opened, or answered with an error
    |-- BarrierTimeout (TimeoutError)       what was emitted is not stored in the time allowed
    |-- ServiceUnavailable (ConnectionError) no service answers at the address
    |-- WireError (ValueError)              a message that is not in the wire format
    `-- MissingExtraError (ImportError)     an optional dependency; names the extra to install
"""


class OptiprovError(Exception):
    """Base of every error raised by optiprov."""


class InputError(OptiprovError, ValueError):
    """The input is wrong: a file, an option or an argument."""


class ScenarioError(InputError):
    """A scenario that cannot be used; the message lists every problem as file:line: key."""


class SearchSpaceError(InputError):
    """A search space that cannot be used; the message says file:line and key."""


class SpecificationError(InputError):
    """A dataflow's specification that cannot be used; the message lists every problem as file:line: key."""


class OptimizationFileError(InputError):
    """A Python file that does not hold exactly one usable `Optimization`."""


class QueryError(InputError):
    """A query with an unknown field, operator or start of a lineage, or a statement that is not read-only."""


class UrlError(InputError):
    """An address of a store, a service or a broker that cannot be understood."""


class NoStoreError(InputError):
    """What is named as a store is absent, or something else: another file, a database without provenance."""


class CredentialsError(InputError, PermissionError):
    """Credentials that are absent where they are needed, refused, or not sound."""


class WorkError(OptiprovError, RuntimeError):
    """The input was fine, the work failed."""


class DeploymentError(WorkError):
    """A task of the scenario failed; the message has host, task, command, status and stderr."""


class HostUnavailable(DeploymentError, ConnectionError):
    """A host that cannot be reached, or whose connection was lost; the message says what to do."""


class ApplicationError(WorkError):
    """The application of a trial crashed, or ended without doing its work."""


class MetricError(WorkError, LookupError):
    """A metric that a trial did not write, or wrote as something else than a finite number."""


class StudyError(WorkError):
    """A study without a single successful trial."""


class StudyInterrupted(WorkError):
    """A study that was interrupted; the message says what had ended and where the results are."""


class StoreError(WorkError):
    """The provenance store cannot be opened, or answered with an error."""


class BarrierTimeout(OptiprovError, TimeoutError):
    """What was emitted is not stored in the time allowed; the message says what is missing."""


class ServiceUnavailable(OptiprovError, ConnectionError):
    """No provenance service answers at the address."""


class WireError(OptiprovError, ValueError):
    """A message that is not in the wire format; the message says what is wrong with it."""


class MissingExtraError(OptiprovError, ImportError):
    """An optional dependency is not installed; the message names the extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}. Install it: pip install 'optiprov[{extra}]'")

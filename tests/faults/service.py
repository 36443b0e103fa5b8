"""`optiprov serve` for the fault suite: its commits linger, and it dies in the midst of one when told to.

`service.py SEED SABOTAGE serve ...`; SIGUSR1 has it die by SIGKILL right before its next commit, SIGUSR2
between the commit and its acknowledgement. A product in which these are in the wrong order shows then.
SABOTAGE, where it is not empty, names what is broken on purpose.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

LINGER_S = 0.03
LAST_MOMENT_S = 0.4  # in which what should not have been said yet gets through


def linger_in_commits(seed):
    """Have each commit wait a moment before, and let signals end the process before or after one."""
    from optiprov.store.writer import Writer

    choices = random.Random(seed)
    commit = Writer.commit
    doomed = []

    def die_if(number):
        if number in doomed:
            time.sleep(LAST_MOMENT_S)
            os.kill(os.getpid(), signal.SIGKILL)

    def commit_slowly(writer, batches):
        time.sleep(choices.uniform(0, LINGER_S))
        is_new = any(
            batch.header.first + len(batch.records) - 1 > writer.marks.get(batch.header.client, 0)
            for batch in batches
        )
        if is_new:
            die_if(signal.SIGUSR1)
        outcome = commit(writer, batches)
        if is_new:
            die_if(signal.SIGUSR2)
        return outcome

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: doomed.append(number))
    Writer.commit = commit_slowly


def main():
    """Serve as the command line says."""
    from optiprov.cli import main as cli
    from tests.faults.sabotage import commit_sabotage

    seed, sabotage = sys.argv[1:3]
    sys.argv[1:3] = []
    linger_in_commits(int(seed))
    commit_sabotage(sabotage)
    cli.main()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])
    main()

"""Breaks the product on purpose, to see that the fault suite notices.

Each of these does to a running process what a wrong change would do to the code.
"""

from optiprov.capture.spool import free_acknowledged


def acknowledge_before_commit():
    """The service says that it has what it is about to commit."""
    from optiprov.serve.ingest import Ingest
    from optiprov.store.writer import Ack
    from optiprov.wire import Batch

    commit = Ingest._commit

    def acknowledge_and_commit(ingest, messages):
        for message in messages:
            if isinstance(message, Batch):
                last = message.header.first + len(message.records) - 1
                ingest._acknowledge(message.header.client, Ack(last, resend=False))
        commit(ingest, messages)

    Ingest._commit = acknowledge_and_commit


def free_before_acknowledgement():
    """The client lets go of what it has sent."""
    from optiprov.capture.publisher import Publisher

    publish = Publisher._publish

    def publish_and_free(publisher, chunk):
        publish(publisher, chunk)
        last = chunk.first + len(chunk.records) - 1
        publisher._state.acked = max(publisher._state.acked, last)
        free_acknowledged(publisher._directory, last)

    Publisher._publish = publish_and_free


def skip_deduplication():
    """The service stores what it has once more."""
    from optiprov.store import writer

    writer._fresh = lambda batch, _mark: batch


def let_gaps_pass():
    """The service stores what comes too early, and takes what comes later for known."""
    from optiprov.store import writer

    writer._lose = lambda header, mark, _rows: max(mark, header.first - 1)


SABOTAGES = {
    one.__name__.replace("_", "-"): one
    for one in (acknowledge_before_commit, free_before_acknowledgement, skip_deduplication, let_gaps_pass)
}


def commit_sabotage(name):
    """Break what the name says, in this process; nothing where it is empty."""
    if name:
        SABOTAGES[name]()

import pytest

from .namespaces import Bridge


@pytest.fixture
def bridge():
    """Makes hosts on a bridge, which are gone at the end."""
    made = []

    def make(count=2):
        made.append(Bridge(count))
        return made[-1].hosts

    yield make
    for one in made:
        one.close()

import pytest
from tiny_training import tiny_materials

from mlffbench.training.materials import Materials


@pytest.fixture(scope="module")
def materials() -> Materials:
    return tiny_materials()

import gc

import pytest

from mlffbench.core.guards.collector import uncollected


def test_nothing_is_collected_while_libraries_are_loaded() -> None:
    with uncollected(), uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_off_before_stays_off_and_a_fault_turns_it_on_again() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

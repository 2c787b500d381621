import ase.data
import pytest

from mlffbench.core.card import (
    ALL_ELEMENTS,
    SYMBOLS,
    DataCard,
    ModelCard,
    elements,
    format_elements,
)


def test_symbols_are_those_of_ase():
    assert ase.data.chemical_symbols == SYMBOLS
    assert frozenset(range(1, 119)) == ALL_ELEMENTS


def test_elements_round_trip():
    assert elements("H C N O") == {1, 6, 7, 8}
    assert format_elements(elements("O N C H")) == "H C N O"
    assert format_elements(frozenset()) == ""


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (range(1, 11), "H–Ne"),
        (range(1, 10), "H He Li Be B C N O F"),
        ([*range(1, 87), 92], "H–Rn U"),
        ([1, *range(6, 18)], "H C–Cl"),
    ],
)
def test_long_runs_are_ranges(numbers, text):
    assert format_elements(frozenset(numbers)) == text


def test_a_model_card_says_what_it_does_not_have():
    facts = dict(ModelCard(elements=elements("H C")).rows())
    expected = {
        "elements": "H C",
        "charges": "0",
        "cutoff": "none",
        "trained on": "nothing",
        "weights": "none",
        "licence": "not stated",
    }
    assert {fact: facts[fact] for fact in expected} == expected


def test_a_model_card_lists_every_field():
    card = ModelCard(
        charges=frozenset({0, -1, 2}),
        periodic=True,
        training_sets=("spice", "qm9"),
        cutoff=4.5,
        conservative=False,
    )
    facts = dict(card.rows())
    assert facts["charges"] == "-1 0 +2"
    assert facts["periodic cells"] == "yes"
    assert facts["trained on"] == "spice, qm9"
    assert facts["cutoff"] == "4.5 Å"
    assert facts["conservative forces"] == "no"
    assert dict(ModelCard(charges=None).rows())["charges"] == "any"
    assert len(card.rows()) == len(ModelCard.__slots__)


def test_a_data_card_lists_its_notes():
    rest = ("level_of_theory", "licence", "citation", "source", "size")
    told = dict.fromkeys(rest, "said elsewhere")
    card = DataCard(**told, elements=elements("H O"), notes=("first", "second"))
    assert [value for fact, value in card.rows() if fact == "note"] == ["first", "second"]
    assert dict(card.rows())["units in the file"] == "bohr, hartree"

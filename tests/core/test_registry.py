import sys

import pytest

from mlffbench.core.card import ModelCard, elements
from mlffbench.core.errors import BenchError, MissingExtraError, UnknownNameError
from mlffbench.core.plugins.install import install_line
from mlffbench.core.registry import Entry, Registry

GROUP = "mlffbench.test_things"
ROWS = {
    "mace-off": Entry("collections:OrderedDict", "an ordered dictionary"),
    "ani-1x": Entry("no_such_module:Ani", "never imported here"),
}

PLUGIN = '''
from mlffbench.core.registry import Entry

class Friendly:
    """What the plug-in adds."""

lazy = Entry("fractions:Fraction", "a row that points on")
needy = Entry("fractions:Fraction", "a row", extra="mace", requires=("no_such_module",))
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Installs a real distribution, by hand, that adds rows through entry points."""

    def install(points, distribution="friendly"):
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        lines = "\n".join(f"{name} = {target}" for name, target in points.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
        (tmp_path / "friendly_plugin.py").write_text(PLUGIN)

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    sys.modules.pop("friendly_plugin", None)


def test_listing_imports_nothing():
    registry = Registry("model", ROWS)
    assert registry.names() == ["mace-off", "ani-1x"]
    assert registry.entry("ani-1x").summary == "never imported here"
    assert "no_such_module" not in sys.modules


def test_load_returns_what_the_row_points_at():
    from collections import OrderedDict

    assert Registry("model", ROWS).load("mace-off") is OrderedDict


@pytest.mark.parametrize("typed", ["mace_off", "Mace-Off", "maceoff"])
def test_a_typo_gets_a_hint(typed):
    registry = Registry("model", ROWS)
    expected = (
        f"unknown model '{typed}'. Did you mean 'mace-off'? Known: ani-1x, mace-off"
    )
    with pytest.raises(UnknownNameError) as caught:
        registry.load(typed)
    assert str(caught.value) == expected


def test_a_name_like_no_other_gets_no_hint():
    with pytest.raises(UnknownNameError) as caught:
        Registry("prior", ROWS).entry("zzz")
    assert str(caught.value) == "unknown prior 'zzz'. Known: ani-1x, mace-off"


def test_a_missing_extra_says_what_to_type():
    row = Entry("no_such_module:X", "", extra="mace", requires=("json", "no_such_module"))
    assert row.missing() == "no_such_module"
    with pytest.raises(MissingExtraError) as caught:
        Registry("model", {"mace": row}).load("mace")
    assert str(caught.value) == (
        "model 'mace' needs 'no_such_module', which is not installed; "
        f"run: {install_line('mace')}"
    )


def test_an_installed_extra_is_not_missing():
    row = Entry("json:loads", "", extra="mace", requires=("json",))
    assert row.missing() is None
    assert Registry("model", {"x": row}).load("x")("[1]") == [1]


def test_facts_come_with_the_row():
    card = ModelCard(elements=elements("H"))
    row = Registry("model", {"x": Entry("a:b", "", card=card)}).entry("x")
    assert ("elements", "H") in row.card.rows()


def test_another_package_adds_rows_after_ours(plugin):
    plugin({"friendly": "friendly_plugin:Friendly"})
    registry = Registry("model", ROWS, group=GROUP)
    assert registry.names() == ["mace-off", "ani-1x", "friendly"]
    row = registry.entry("friendly")
    assert (row.summary, row.package) == ("What the plug-in adds", "friendly 1.0")
    assert "friendly_plugin" not in sys.modules
    assert registry.load("friendly").__name__ == "Friendly"


def test_an_entry_point_may_point_at_a_row(plugin):
    from fractions import Fraction

    plugin({"lazy": "friendly_plugin:lazy", "needy": "friendly_plugin:needy"})
    registry = Registry("model", ROWS, group=GROUP)
    assert registry.load("lazy") is Fraction
    with pytest.raises(BenchError) as caught:
        registry.load("needy")
    assert str(caught.value) == (
        "model 'needy' needs 'no_such_module', which is not installed; "
        "run: pip install 'friendly[mace]'"
    )


def test_without_a_group_entry_points_are_not_read(plugin):
    plugin({"friendly": "friendly_plugin:Friendly"})
    assert Registry("model", ROWS).names() == ["mace-off", "ani-1x"]


def test_a_name_that_is_taken_is_an_error(plugin):
    plugin({"mace-off": "friendly_plugin:Friendly"})
    with pytest.raises(BenchError) as caught:
        Registry("model", ROWS, group=GROUP).rows()
    assert str(caught.value) == (
        "friendly 1.0 registers model 'mace-off', a name that is taken; "
        f"rename its entry point in group '{GROUP}', or uninstall friendly"
    )


def test_two_packages_cannot_share_a_name(plugin):
    plugin({"friendly": "friendly_plugin:Friendly"})
    plugin({"friendly": "friendly_plugin:lazy"}, distribution="rival")
    with pytest.raises(
        BenchError, match="registers model 'friendly', a name that is taken"
    ):
        Registry("model", {}, group=GROUP).rows()


def test_a_row_that_cannot_be_imported_is_one_sentence():
    registry = Registry("model", {"x": Entry("no_such_module:X", "")})
    with pytest.raises(BenchError, match=r"'x' \(no_such_module:X\) cannot be imported"):
        registry.load("x")


def test_a_package_that_cannot_be_imported_has_a_row_that_says_so(plugin):
    points = {
        "lost": "friendly_plugin:Lost",
        "gone": "friendly_gone:load",
        "needy": "friendly_plugin:needy",
    }
    plugin(points)
    rows = Registry("model", ROWS, group=GROUP).rows()
    assert rows["lost"].fault == "module 'friendly_plugin' has no 'Lost'"
    assert rows["gone"].fault == "there is no module 'friendly_gone'"
    assert rows["needy"].fault == ""
    assert "friendly_plugin" in sys.modules  # a whole row is imported
    with pytest.raises(BenchError) as caught:
        Registry("model", ROWS, group=GROUP).load("gone")
    assert str(caught.value) == (
        "model 'gone' of the package friendly 1.0 cannot be used: there is no module "
        "'friendly_gone'; mend the package or uninstall it"
    )


def test_a_row_that_is_read_by_its_card_needs_one(plugin):
    plugin({"friendly": "friendly_plugin:Friendly", "lazy": "friendly_plugin:lazy"})
    registry = Registry("metric", {}, group=GROUP, card=ModelCard, needs_card=True)
    faults = {name: row.fault for name, row in registry.rows().items()}
    assert faults == {
        "friendly": "friendly_plugin:Friendly is no Entry, and a metric needs one with a "
        "ModelCard",
        "lazy": "friendly_plugin:lazy is no Entry with a ModelCard",
    }


def test_a_name_that_would_be_no_folder(plugin):
    plugin({"../up": "friendly_plugin:Friendly"})
    with pytest.raises(BenchError, match=r"registers mode '\.\./up'; a name is"):
        Registry("mode", {}, group=GROUP).rows()

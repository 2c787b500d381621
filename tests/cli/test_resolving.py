import pytest
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.cli.shared.resolving import mode_settings
from mlffbench.core.errors import BenchError
from mlffbench.run.request import Request, resolve


def test_settings_are_numbers_where_they_can_be() -> None:
    texts = ["rr.criterion=quantile", "rr.n_radii=4", "ttt.learning_rate=1e-3"]
    assert mode_settings(texts) == {
        "rr": {"criterion": "quantile", "n_radii": 4},
        "ttt": {"learning_rate": 0.001},
    }
    assert mode_settings(["rr.radii=3.0,3.5"]) == {"rr": {"radii": "3.0,3.5"}}
    assert mode_settings(None) == {}


@pytest.mark.parametrize(
    "text",
    ["rr", "rr.criterion", "criterion=quantile", ".a=1", "rr.=1", "rr.a=", "rr.a b=1"],
)
def test_anything_else_is_one_sentence(text: str) -> None:
    with pytest.raises(BenchError, match=r"is not MODE\.NAME=VALUE"):
        mode_settings([text])


def test_what_is_typed_goes_before_the_suite() -> None:
    request = Request(
        suite="mini-ood",
        models=("mini-schnet",),
        modes=("baseline", "rr"),
        settings={"rr": {"n_radii": 4}},
    )
    jobs = {job.mode: dict(job.settings) for job in resolve(request).jobs}
    assert jobs == {"baseline": {}, "rr": {"n_radii": 4}}


def test_settings_of_a_mode_that_is_not_run_are_refused() -> None:
    plan = ["plan", "--suite", "mini-ood", "--mode", "baseline", "--set", "rr.n_radii=4"]
    result = CliRunner().invoke(app, plan)
    assert isinstance(result.exception, BenchError)
    assert "settings were given for mode 'rr', which is not run" in str(result.exception)

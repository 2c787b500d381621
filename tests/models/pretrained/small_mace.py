"""A small MACE of random weights, and files of it."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlffbench.models.pretrained.mace_network import import_mace

R_MAX = 4.0
ENERGIES = [-13.6, -1029.3, -1484.8, -2041.7]


def build(heads: list[str] | None = None, **changes: Any) -> nn.Module:
    """Return a network for H, C, N and O in float64, the same one every time.

    It has one layer, since most of the time goes into building; tests of what layers
    say to each other ask for two.
    """
    modules = import_mace()
    from e3nn import o3
    from mace.tools.compile import disable_e3nn_codegen

    n_heads = len(heads or ["Default"])
    settings = {
        "atomic_inter_scale": [2.0] * n_heads,
        "atomic_inter_shift": [0.1] * n_heads,
        "r_max": R_MAX,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": modules.RealAgnosticResidualInteractionBlock,
        "interaction_cls_first": modules.RealAgnosticInteractionBlock,
        "num_interactions": 1,
        "num_elements": 4,
        "hidden_irreps": o3.Irreps("4x0e + 4x1o"),
        "MLP_irreps": o3.Irreps(f"{4 * n_heads}x0e"),
        "atomic_energies": np.array([ENERGIES] * n_heads),
        # a numpy number, as training scripts leave it
        "avg_num_neighbors": np.float64(6.0),
        "atomic_numbers": [1, 6, 7, 8],
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "heads": heads,
    }
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    with warnings.catch_warnings(), disable_e3nn_codegen():
        warnings.simplefilter("ignore")
        network: nn.Module = modules.ScaleShiftMACE(**(settings | changes))
    torch.set_default_dtype(torch.float32)
    return network


def save(network: object, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn saves TorchScript
        torch.save(network, path)
    return path


def calculator_of(network: nn.Module, **keywords: Any) -> Any:
    """Return mace's own ASE calculator of a network in memory."""
    from mace.calculators import MACECalculator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MACECalculator(models=network, default_dtype="float64", **keywords)

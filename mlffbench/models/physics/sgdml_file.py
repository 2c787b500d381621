"""sGDML model files, of today's format and of the one the published MD17 models are in.

The files of 2018 (stefanch/sGDML, models/) hold the same numbers under other names, count
atoms from 1 in their permutations, have one axis more and no scale, type or units. They
are converted while they are read; nothing is written.
"""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from ase.data import covalent_radii

from mlffbench.core.errors import ModelError
from mlffbench.models.weights import check_archive

_KEYS = ("z", "R_desc", "R_d_desc_alpha", "sig", "perms", "std", "c", "tril_perms_lin")
_OLD = {"Rt_desc": "R_desc", "Rt_d_desc_alpha": "R_d_desc_alpha"}
"""Names of 2018 -> names of today."""


def read_sgdml(path: Path) -> dict[str, Any]:
    """Return the content of a model file as sgdml's predictor takes it.

    Args:
        path: Of an ``.npz``; pickled objects in it are never opened.

    Raises:
        ModelError: It cannot be read, or is no sGDML model.
    """
    check_archive(path)
    if path.is_file() and not is_zipfile(path):
        msg = f"{path} cannot be read as an sGDML model: it is no .npz archive; unpack "
        raise ModelError(msg + "it, or get the file again")
    try:
        with np.load(path, allow_pickle=False) as content:
            model = _plain_entries(content)
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        msg = f"{path} cannot be read as an sGDML model: {error}"
        raise ModelError(msg) from error
    if "Rt_desc" in model and "R_desc" not in model:
        model = _of_today(model)
    missing = [key for key in _KEYS if key not in model]
    if missing:
        msg = f"{path} is no sGDML model: it lacks {', '.join(missing)}"
        raise ModelError(msg)
    fault = _fault_of_kind(model) or _fault_of_digits(model) or _fault(model)
    if fault:
        msg = f"{path} is no sGDML model that can be used: {fault}; get the file again, "
        raise ModelError(msg + "or another")
    return model


def text_of(entry: Any) -> str:
    """Return a word of a model; files of Python 2 hold bytes."""
    word = np.asarray(entry)
    if word.dtype.kind == "S":
        word = np.char.decode(word, "utf-8", "replace")
    return str(word.astype(str))


def _plain_entries(content: Any) -> dict[str, Any]:
    """Return the entries that are arrays; pickled objects are never opened."""
    entries = {}
    for key in content.files:
        try:
            entries[key] = content[key]
        except ValueError:
            continue  # an object; one that is needed is named as lacking
    return entries


def _of_today(old: dict[str, Any]) -> dict[str, Any]:
    """Return a model of 2018 in the format of today; MD17's units, no scale."""
    model = {_OLD.get(name, name): values for name, values in old.items()}
    alphas = model.get("R_d_desc_alpha")
    if isinstance(alphas, np.ndarray) and alphas.ndim == 3:  # noqa: PLR2004 - one more
        model["R_d_desc_alpha"] = alphas[:, :, 0]
    perms = model.get("perms")
    if isinstance(perms, np.ndarray) and perms.size:
        model["perms"] = perms.astype(np.int64) - 1
    return {
        **model,
        "type": np.array("m"),
        "std": np.array(1.0),
        "r_unit": np.array("Ang"),
        "e_unit": np.array("kcal/mol"),
    }


def _fault_of_kind(model: dict[str, Any]) -> str:
    """Return which entry is not of the kind it must be, empty where all are.

    The predictor takes most of them as they come, and gives other numbers for it.
    """
    whole, real = ("z", "perms", "tril_perms_lin"), ("R_desc", "R_d_desc_alpha")
    single = ("sig", "std", "c")
    kinds = {**dict.fromkeys(whole, "iu"), **dict.fromkeys((*real, *single), "iuf")}
    for key, letters in kinds.items():
        if model[key].dtype.kind not in letters or not model[key].size:
            return f"{key} holds no {'whole' if key in whole else 'real'} numbers"
    for key in single:
        if model[key].ndim:
            return f"{key} is of shape {model[key].shape}, not one number"
    if not ((model["z"] > 0) & (model["z"] < len(covalent_radii))).all():
        return "z holds numbers that are no elements"
    n_train = model["R_desc"].shape[-1] if model["R_desc"].ndim else 0
    if np.shape(model.get("alphas_E", np.zeros(n_train))) != (n_train,):
        return f"alphas_E is not of {n_train} geometries"
    if "lattice" in model:
        return "it was trained in a periodic cell, which is not treated here"
    return "" if model["std"] > 0 else "its scale is not above 0"


def _fault_of_digits(model: dict[str, Any]) -> str:
    """Return which numbers were rounded after training, empty where none were."""
    for key, off in (("R_desc", "thousandths"), ("R_d_desc_alpha", "tenths")):
        kind = model[key].dtype
        if kind.kind == "f" and kind.itemsize < np.float64().itemsize:
            return (
                f"{key} is {kind}, not float64, and too coarse for numbers that cancel: "
                f"forces would be off by {off} of eV/Å"
            )
    return ""


def _fault(model: dict[str, Any]) -> str:
    """Return what contradicts itself in a model, empty where nothing does."""
    kind = model.get("type")
    if kind is None or text_of(kind) != "m":
        return "its type is not that of a model"
    numbers, perms = model["z"], model["perms"]
    n_atoms = len(numbers) if numbers.ndim == 1 else 0
    width = n_atoms * (n_atoms - 1) // 2
    n_train = model["R_desc"].shape[-1] if model["R_desc"].ndim else 0
    shapes = model["R_desc"].shape, model["R_d_desc_alpha"].shape
    if not width or shapes != ((width, n_train), (n_train, width)):
        return (
            f"{n_atoms} atoms do not fit descriptors of shapes {shapes[0]}, {shapes[1]}"
        )
    if perms.ndim != 2 or not (np.sort(perms, axis=1) == np.arange(n_atoms)).all():  # noqa: PLR2004
        return f"its permutations are none of {n_atoms} atoms"
    places = [_pair_places(perm) + width * row for row, perm in enumerate(perms)]
    if not np.array_equal(np.stack(places, axis=1).ravel(), model["tril_perms_lin"]):
        return "its permutations of atoms and of pairs contradict each other"
    floats = [model[key] for key in ("R_desc", "R_d_desc_alpha", "sig", "std", "c")]
    if not all(np.isfinite(values).all() for values in floats) or not model["sig"] > 0:
        return "a number of it is not finite, or its length scale not above 0"
    return "" if (model["R_desc"] > 0).all() else "a trained distance is not above 0"


def _pair_places(perm: Any) -> Any:
    """Return where each pair of atoms goes, in the order of `numpy.tril_indices`."""
    n_atoms = len(perm)
    rows, columns = np.tril_indices(n_atoms, -1)
    place = np.zeros((n_atoms, n_atoms), dtype=np.int64)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return place[perm[rows], perm[columns]]

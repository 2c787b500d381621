"""Published manifest: what of a ``run.json`` leaves, without places and users."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mlffbench.publish.private import everywhere, told, told_command

_KEPT = (
    *("schema_version", "fingerprint", "job", "splits", "mode", "versions", "suite"),
    *("dtype", "git", "started", "finished", "wall_s", "gradient_steps"),
    *("peak_memory_mb", "status", "starts_sha256", "refine_s", "dynamics_s"),
)
"""Of ``run.json``, ``dynamics.json`` or ``curve.json``, what leaves as it is, but for
paths."""


def published(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may leave of a ``run.json``."""
    kept: dict[str, Any] = everywhere({n: manifest[n] for n in _KEPT if n in manifest})
    model = manifest.get("model") or {}
    card = {n: v for n, v in (model.get("card") or {}).items() if n != "weights"}
    hardware = {
        name: value
        for name, value in (manifest.get("hardware") or {}).items()
        if name != "platform"  # a kernel's name tells whose machine it is
    }
    checks = manifest.get("checks") or {}
    remarks = [told(str(text)) for text in checks.get("remarks") or ()]
    return {
        **kept,
        "model": {**everywhere({**model, "card": None}), "card": everywhere(card)},
        "hardware": hardware,
        "command": told_command(str(manifest.get("command", ""))),
        "checks": {**everywhere(checks), "remarks": remarks},
        "suite": _suite_of(manifest.get("suite") or {}),
    }


def _suite_of(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suite whose files of the user's are named without their folders."""
    found: dict[str, Any] = everywhere(suite)
    for spec in found.get("splits") or ():
        if isinstance(spec, dict) and ":" not in str(spec.get("file", "")):
            spec["file"] = PurePath(str(spec["file"]).replace("\\", "/")).name
    return found

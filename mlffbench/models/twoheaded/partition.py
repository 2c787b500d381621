"""Which parameters the two heads share, and which each has for itself.

The table names the part of the network that a parameter belongs to; the depth of an
`Architecture` says how many blocks are shared. A parameter is ``shared`` (it exists once)
or ``owned`` (once per head).

Parameters with one slice per element are shared at every depth, wherever they sit: the
reference head's own slice of an element that is absent from the training set would never
be learned, neither in training nor by test-time training, which moves shared parameters
only.
"""

import re
from typing import Literal

from mlffbench.core.errors import ModelError
from mlffbench.models.twoheaded.architecture import Architecture, Network

Part = Literal["elements", "block", "readout"]
Side = Literal["shared", "owned"]

PARTS: dict[Network, tuple[tuple[str, Part], ...]] = {
    "mace": (
        (r"node_embedding\..*", "elements"),
        (r"interactions\.\d+\.skip_tp\..*", "elements"),
        (r"products\.\d+\.symmetric_contractions\..*", "elements"),
        (r"interactions\.(\d+)\.(linear_up|conv_tp_weights|linear)\..*", "block"),
        (r"products\.(\d+)\.linear\..*", "block"),
        (r"readouts\.\d+\..*", "readout"),
    ),
    "schnet": (
        (r"embedding\..*", "elements"),
        (r"interactions\.(\d+)\..*", "block"),
        (r"readout\..*", "readout"),
    ),
    "gemnet": (
        (r"embedding\..*", "elements"),
        # the paper shares the first output at every depth as well
        (
            r"(?:edge_embedding|projections|outputs\.0|energies\.0|forces\.0)\..*",
            "elements",
        ),
        (r"interactions\.(\d+)\..*", "block"),
        (r"(?:outputs|energies|forces)\.[1-9]\d*\..*", "readout"),
    ),
}
"""Network -> (pattern of the parameter name, part); a ``block`` captures its number."""


def side(architecture: Architecture, name: str) -> Side:
    """Return whether both heads share a parameter or own one each.

    Args:
        architecture: Which network, and to which depth it is shared.
        name: Name of the parameter in the network.

    Raises:
        ModelError: Not exactly one row of the table claims the parameter.

    Example:
        >>> schnet = Architecture(network="schnet", elements=(1, 8), depth="med")
        >>> [side(schnet, f"interactions.{block}.lin.weight") for block in range(3)]
        ['shared', 'shared', 'owned']
    """
    claims = [
        (found, part)
        for pattern, part in PARTS[architecture.network]
        if (found := re.fullmatch(pattern, name))
    ]
    if len(claims) != 1:
        msg = (
            f"{len(claims)} rows of the partition of {architecture.network!r} claim the "
            f"parameter {name!r}, expected one; this version of its library is unknown"
        )
        raise ModelError(msg)
    [(found, part)] = claims
    if part == "block":
        return "shared" if int(found[1]) < architecture.shared_blocks else "owned"
    return "shared" if part == "elements" else "owned"

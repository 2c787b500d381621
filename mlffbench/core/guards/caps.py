"""How much a file may claim before anything is allocated for it or parsed.

Each is far above what published data need. Nothing is imported here: the child that
looks through HDF5 files reads these numbers too.
"""

FREE_BYTES = 256 << 20
"""What a member of an npz file may always unpack into: a file that is mapped."""
FREE_HDF5 = 64 << 20
"""What a dataset of an HDF5 file may always unpack into: memory."""
FREE_UNSTORED = 1 << 20
"""What a dataset may claim of which nothing is stored."""
MOST_PACKED = 200
"""Bytes that one stored byte may stand for beyond that."""
LONGEST_SMILES = 20_000
"""Characters; a mapped SMILES has some ten per atom."""
LONGEST_LINE = 1 << 20
"""Bytes of a line of text, comment lines among them."""
MOST_STATEMENTS = 1_000
"""``key=value`` of a comment line."""
MOST_ATOMS = 10_000_000
"""Atoms of a structure."""
MOST_COLUMNS = 10_000
"""Numbers per atom in a table of text."""
LARGEST_TEXT = 16 << 20
"""Bytes of a suite, a description or a manifest."""
DEEPEST_TEXT = 100
"""Levels of nested brackets or lists in it."""
LONGEST_HEADER = 10_000
"""Bytes of the header of an array in an npz file."""
MOST_EMPTY = 1_000_000
"""Entries along an axis of an array that holds no byte."""
LARGEST_TEXTS = 64 << 20
"""Bytes of an array of text."""
DEEPEST_GROUPS = 16
"""Groups inside groups of an HDF5 file."""
LARGEST_ATTRIBUTE = 1 << 20
"""Bytes of an attribute of an HDF5 file."""
LONGEST_NAME = 1_000
"""Bytes of the name of a group, dataset or array."""
START_S = 60.0
"""Seconds until a child that surveys HDF5 files has imported what it needs."""
SURVEY_S = 5.0
"""Seconds that the HDF5 library may take for one object of a file."""
SURVEY_BYTES = 1 << 30
"""Memory of a survey."""
LARGEST_LABEL = 1e15
"""eV, or eV/Å: beyond it a number is no label, and its square no number."""
SHOWN = 60
"""Characters of a file's own text that a sentence quotes."""

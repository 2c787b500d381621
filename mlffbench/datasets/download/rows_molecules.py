"""Rows of datasets of a few molecules each: MD17, rMD17, MD22, 3BPA, acetylacetone."""

from dataclasses import replace

from mlffbench.datasets.download.claims import EV_XYZ, NOT_STATED, Download, RemoteFile

_GDML = "quantum-machine.org/gdml"
_BOTNET = "https://raw.githubusercontent.com/davkovacs/BOTNet-datasets/main"
_BOTNET_COMMIT = "29e6d467317e4b5967b7ea5cbee54de953fa0d45"
_BOTNET_AT = (
    f"https://raw.githubusercontent.com/davkovacs/BOTNet-datasets/{_BOTNET_COMMIT}"
)
_MD17_PAPER = (
    "Chmiela et al., Sci. Adv. 3, e1603015 (2017), https://doi.org/10.1126/sciadv.1603015"
)
_RMD17_PAPER = (
    "Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020), "
    "https://doi.org/10.1088/2632-2153/abba6f"
)
_MD17 = {
    "aspirin": "aspirin",
    "benzene": "benzene2017",
    "ethanol": "ethanol",
    "malonaldehyde": "malonaldehyde",
    "naphthalene": "naphthalene",
    "salicylic-acid": "salicylic",
    "toluene": "toluene",
    "uracil": "uracil",
}
"""Molecule -> how the file spells it."""
_RMD17 = {
    "aspirin": ("62265757", "17fd6fb69066888613f7e16b358a7553"),
    "ethanol": ("62265733", "eb837fb8deb27d4e0d52f71a03aff776"),
}
"""Molecule -> number and md5 of its file on figshare."""
_MD22 = {
    "ac-ala3-nhme": ("Ac-Ala3-NHMe", 85_109),
    "dha": ("DHA", 69_753),
    "stachyose": ("stachyose", 27_272),
    "at-at": ("AT-AT", 20_001),
    "at-at-cg-cg": ("AT-AT-CG-CG", 10_153),
    "buckyball-catcher": ("buckyball-catcher", 6_102),
    "double-walled-nanotube": ("double-walled_nanotube", 5_032),
}
"""Molecule -> how the file spells it, and its frames."""
_ACAC = {
    "train_300K": (
        880_100,
        "8f5706d6902360555a5be59395612d2afc3489a75688388a58e7275fdad68af3",
    ),
    "train_600K": (
        880_112,
        "180c2538508f7810a623c279426f44953ee7cfb2af77e48ea3986ff97645a71c",
    ),
    "test_MD_300K": (
        1_144_100,
        "2291f3186a3cc6a5e05e92952c84a9237ca53f862d78fd3316a769360719ec43",
    ),
    "test_MD_600K": (
        1_144_153,
        "d5a5bba154ec43f915eb7529f86ec3af60e6f911743859daba030181a0378ff7",
    ),
    "test_H_transfer": (
        14_306,
        "ea4d76c79cf4cfccd2f93eaf755172b0b648886c4907eb0f82dff07a77530743",
    ),
    "test_dihedral": (
        43_974,
        "0c2246a593579de5a4450698d5f4ba5802b095824b7f211aa5889339967c6809",
    ),
    "isolated_atoms": (
        455,
        "b74f321b453374621b447d65c60979f70df1b7182c8ee0215388b2c574f33823",
    ),
}
"""Name -> size and sha256 of the file in the authors' repository."""


def _md17(molecule: str, spelling: str) -> RemoteFile:
    name = f"md17_{spelling}.npz"
    return RemoteFile(
        name=name,
        urls=(
            f"http://{_GDML}/data/npz/{name}",
            f"http://www.{_GDML}/repo/datasets/{name}",
        ),
        part=molecule,
    )


def _md22(molecule: str, spelling: str, n_frames: int) -> RemoteFile:
    name = f"md22_{spelling}.npz"
    return RemoteFile(
        name=name,
        urls=(
            f"http://www.{_GDML}/repo/datasets/{name}",
            f"http://{_GDML}/data/npz/{name}",
        ),
        claim=f"nobody published a size or checksum; {n_frames:,} frames, by its page",
        part=molecule,
    )


def _rmd17(molecule: str, number: str, md5: str) -> RemoteFile:
    return RemoteFile(
        name=f"rmd17_{molecule}.npz",
        urls=(
            f"https://figshare.com/ndownloader/files/{number}",
            f"https://ndownloader.figshare.com/files/{number}",
        ),
        checksum=f"md5:{md5}",
        claim="md5: two third-party loaders, from figshare",
        part=molecule,
    )


def _acac(name: str, size: int, sha256: str) -> RemoteFile:
    return RemoteFile(
        name=f"{name}.xyz",
        urls=tuple(f"{at}/dataset_acac/{name}.xyz" for at in (_BOTNET_AT, _BOTNET)),
        size=size,
        checksum=f"sha256:{sha256}",
        claim=f"size and sha256: computed from a copy of commit {_BOTNET_COMMIT[:7]}",
        part=name,
    )


_ORIGINAL = Download(
    summary="MD17: eight small molecules in hot molecular dynamics",
    files=tuple(_md17(*row) for row in _MD17.items()),
    source="http://www.sgdml.org/#datasets",
    licence=NOT_STATED,
    citation=_MD17_PAPER,
    level_of_theory="PBE+vdW-TS, FHI-aims",
    units="Å, kcal/mol, kcal/mol/Å",
    layout="npz",
    elements="H C N O",
)
_REVISED = replace(
    _ORIGINAL,
    summary="revised MD17: ten small molecules in hot dynamics, recomputed tightly",
    files=(
        RemoteFile(
            name="rmd17.tar.bz2",
            urls=(
                "https://figshare.com/ndownloader/files/23950376",
                "https://ndownloader.figshare.com/files/23950376",
                "https://archive.materialscloud.org/record/file"
                "?filename=rmd17.tar.bz2&record_id=466",
            ),
            about=1_000_000_000,
            claim="size: a third-party loader; nobody published a checksum",
        ),
    ),
    source="https://doi.org/10.6084/m9.figshare.12672038.v3",
    licence="CC0 1.0 as ColabFit states it; see the source page",
    citation=_RMD17_PAPER,
    level_of_theory="PBE/def2-SVP, ORCA",
    keep=("rmd17_*.npz",),
    notes=(
        "train on at most 1,000 frames, its authors say; old_indices: the frame in MD17",
    ),
)

MOLECULES: dict[str, Download] = {
    "md17": _ORIGINAL,
    "rmd17": _REVISED,
    "rmd17-files": replace(
        _REVISED,
        summary="revised MD17: aspirin and ethanol as single files",
        files=tuple(_rmd17(key, *row) for key, row in _RMD17.items()),
        elements="H C O",
        keep=("*",),
    ),
    "md22": replace(
        _ORIGINAL,
        summary="MD22: seven molecules and assemblies of 42 to 370 atoms in dynamics",
        files=tuple(_md22(key, *row) for key, row in _MD22.items()),
        citation="Chmiela et al., Sci. Adv. 9, eadf0873 (2023), "
        "https://doi.org/10.1126/sciadv.adf0873",
        level_of_theory="PBE+MBD, FHI-aims",
    ),
    "3bpa": Download(
        summary="3BPA: one flexible drug-like molecule at 300, 600 and 1200 K",
        files=(
            RemoteFile(
                name="dataset_3BPA.zip",
                urls=(
                    "https://figshare.com/ndownloader/files/31325990",
                    "https://ndownloader.figshare.com/files/31325990",
                ),
            ),
        ),
        source="https://doi.org/10.1021/acs.jctc.1c00647; a part is at "
        "https://github.com/davkovacs/BOTNet-datasets",
        licence=f"{NOT_STATED} (MIT for the part on GitHub)",
        citation="Kovács et al., J. Chem. Theory Comput. 17, 7696 (2021), "
        "https://doi.org/10.1021/acs.jctc.1c00647",
        level_of_theory="wB97X/6-31G(d), ORCA",
        elements="H C N O",
        keep=("*.xyz",),
        **EV_XYZ,
    ),
    "acac": Download(
        summary="acetylacetone at 300 and 600 K, a dihedral scan and a proton transfer",
        files=tuple(_acac(name, *row) for name, row in _ACAC.items()),
        source="https://github.com/davkovacs/BOTNet-datasets",
        licence="MIT",
        citation="Batatia et al., Nat. Mach. Intell. 7, 56 (2025), "
        "https://arxiv.org/abs/2205.06643",
        level_of_theory="UHF-PBE-D3/def2-SVP, ORCA 5",
        elements="H C O",
        **EV_XYZ,
    ),
}
"""Key -> row."""

"""Rows of large datasets of many molecules: SPICE, ANI-1x, MACE-OFF23, Transition1x."""

from dataclasses import replace

from mlffbench.datasets.download.claims import EV_XYZ, NOT_STATED, Download, RemoteFile

_SPICE_ELEMENTS = "H Li C N O F Na Mg P S Cl K Ca Br I"
_SPICE_PAPER = (
    "Eastman et al., Sci. Data 10, 11 (2023), https://doi.org/10.1038/s41597-022-01882-6"
)
_NUTMEG_PAPER = (
    "Eastman et al., J. Chem. Theory Comput. 20, 8583 (2024), "
    "https://doi.org/10.1021/acs.jctc.4c00794"
)
_SPICE_THEORY = "wB97M-D3(BJ)/def2-TZVPPD, Psi4"
_IONS = "ions and ion pairs among them"
_MODELFORGE = "size and md5: dataset files of the modelforge repository"
_ANI_PAPER = (
    "Smith et al., Sci. Data 7, 134 (2020), https://doi.org/10.1038/s41597-020-0473-z"
)
_CAMBRIDGE = "https://api.repository.cam.ac.uk/server/api/core/bitstreams"
_CAMBRIDGE_PAGES = "https://www.repository.cam.ac.uk/bitstreams"


def _zenodo(record: str, name: str) -> tuple[str, ...]:
    """Return the address of a file of a record, and the same through Zenodo's API."""
    return (
        f"https://zenodo.org/records/{record}/files/{name}",
        f"https://zenodo.org/api/records/{record}/files/{name}/content",
    )


def _figshare(number: str, host: str = "figshare.com") -> tuple[str, ...]:
    """Return the two addresses of a figshare file."""
    return (
        f"https://{host}/ndownloader/files/{number}",
        f"https://ndownloader.figshare.com/files/{number}",
    )


def _on_zenodo(record: str, name: str, size: int, md5: str, claim: str) -> RemoteFile:
    urls = _zenodo(record, name)
    return RemoteFile(name=name, urls=urls, size=size, checksum=f"md5:{md5}", claim=claim)


def _spice(version: str, record: str, size: int, md5: str, summary: str) -> Download:
    """Return the row of a release of SPICE, which is one file."""
    name = f"SPICE-{version}.hdf5"
    claim = "size: quoted from the Zenodo record; md5: also in a third-party loader"
    return Download(
        summary=f"SPICE {version}: {summary}",
        files=(_on_zenodo(record, name, size, md5, claim),),
        source=f"https://doi.org/10.5281/zenodo.{record}",
        licence="CC0 1.0",
        citation=_SPICE_PAPER,
        level_of_theory=_SPICE_THEORY,
        units="bohr, hartree, hartree/bohr (gradients)",
        layout="spice",
        elements=_SPICE_ELEMENTS,
        charges=_IONS,
    )


def _curated(
    record: str, name: str, size: int, md5: str, *, of: str, ani: bool = False
) -> Download:
    """Return the row of one of modelforge's subsets of 1,000 conformers."""
    return Download(
        summary=f"1,000 conformers of {of}, curated for modelforge",
        files=(_on_zenodo(record, name, size, md5, _MODELFORGE),),
        source=f"https://doi.org/10.5281/zenodo.{record}",
        licence=f"{NOT_STATED} ({'ANI-1x' if ani else 'SPICE'} itself: CC0 1.0)",
        citation=_ANI_PAPER if ani else _SPICE_PAPER,
        level_of_theory="wB97X/6-31G(d)" if ani else _SPICE_THEORY,
        units="as each dataset of the file says",
        layout="modelforge",
        elements="H C N O" if ani else _SPICE_ELEMENTS,
        charges="0" if ani else _IONS,
    )


SETS: dict[str, Download] = {
    "spice-1": _spice(
        "1.1.4",
        "8222043",
        16_058_156_944,
        "f27d4c81da0e37d6547276bf6b4ae6a1",
        "1.1 million conformers of drug-like molecules and dimers",
    ),
    "spice-2": replace(
        _spice(
            "2.0.1",
            "10975225",
            37_479_271_148,
            "bfba2224b6540e1390a579569b475510",
            "2.0 million conformers of 114,000 molecules and clusters",
        ),
        citation=_NUTMEG_PAPER,
        elements="H Li B C N O F Na Mg Si P S Cl K Ca Br I",
    ),
    "spice-1-nc1000": _curated(
        "15461060",
        "spice_1_dataset_v1.1_ntc_1000.hdf5.gz",
        14_716_353,
        "4d2dc9fd7b498f5f6bba6e8f4a5ffcfc",
        of="SPICE 1",
    ),
    "spice-2-nc1000": _curated(
        "15421048",
        "spice_2_dataset_v1.1_ntc_1000.hdf5.gz",
        26_204_494,
        "6b62d3410bba634bd0709ef750c78ca4",
        of="SPICE 2",
    ),
    "spice-2-nc1000-hcnofcls": _curated(
        "15429129",
        "spice_2_dataset_v1.1_ntc_1000_HCNOFClS.hdf5.gz",
        26_256_317,
        "3e0d774ffe05c2f6653d4249bdf6de98",
        of="SPICE 2 (H C N O F Cl S)",
    ),
    "ani-1x-nc1000": _curated(
        "15447763",
        "ani1x_dataset_v1.1_ntc_1000.hdf5.gz",
        1_426_717,
        "4808bdbd49ae3cf7c2049bff439aaa8b",
        of="ANI-1x",
        ani=True,
    ),
    "ani-1x": Download(
        summary="ANI-1x: 5 million conformers of H C N O molecules, chosen by learning",
        files=(
            RemoteFile(
                name="ani1x-release.h5",
                urls=_figshare("18112775", "springernature.figshare.com"),
                size=5_590_846_027,
                checksum="md5:98090dd6679106da861f52bed825ffb7",
                claim="size and md5: figshare, repeated by several third-party loaders",
            ),
        ),
        source="https://doi.org/10.6084/m9.figshare.10047041.v1",
        licence="CC0 1.0",
        citation=_ANI_PAPER,
        level_of_theory="wB97X/6-31G(d); wB97X/def2-TZVPP for a part",
        units="Å, hartree, hartree/Å (forces)",
        layout="ani-1x",
        elements="H C N O",
    ),
    "mace-off23": Download(
        summary="training and test set of MACE-OFF23: neutral SPICE 1 and more",
        files=(
            RemoteFile(
                name="train_large_neut_no_bad_clean.tar.gz",
                urls=(
                    f"{_CAMBRIDGE}/b185b5ab-91cf-489a-9302-63bfac42824a/content",
                    f"{_CAMBRIDGE_PAGES}/b185b5ab-91cf-489a-9302-63bfac42824a/download",
                ),
                about=1_600_000_000,
                claim="size: third-party notes; nobody published a checksum",
                part="train",
            ),
            RemoteFile(
                name="test_large_neut_all.tar.gz",
                urls=(
                    f"{_CAMBRIDGE}/cb8351dd-f09c-413f-921c-67a702a7f0c5/content",
                    f"{_CAMBRIDGE_PAGES}/cb8351dd-f09c-413f-921c-67a702a7f0c5/download",
                ),
                about=81_490_000,
                checksum="md5:bf1f7c7ff1714e6ac6af2cdc642a130a",
                claim="size and md5: one third-party source",
                part="test",
            ),
        ),
        source="https://doi.org/10.17863/CAM.107498",
        licence=NOT_STATED,
        citation="Kovács, Moore et al., J. Am. Chem. Soc. 147, 17598 (2025), "
        "https://arxiv.org/abs/2312.15211",
        level_of_theory=_SPICE_THEORY,
        elements="H C N O F P S Cl Br I",
        keep=("*.xyz", "*.extxyz"),
        **EV_XYZ,
        notes=(
            "split by frame, not by molecule: most test molecules are in train as well",
        ),
    ),
    "transition1x": Download(
        summary="Transition1x: 9.6 million structures along 10,000 reaction paths",
        files=(
            RemoteFile(
                name="transition1x-release.h5",
                urls=_figshare("36035789"),
                about=6_600_000_000,
                claim="size: a third-party loader; nobody published a checksum",
            ),
        ),
        source="https://doi.org/10.6084/m9.figshare.19614657.v4",
        licence=NOT_STATED,
        citation="Schreiner et al., Sci. Data 9, 779 (2022), "
        "https://doi.org/10.1038/s41597-022-01870-w",
        level_of_theory="wB97x/6-31G(d), ORCA",
        units="Å, eV, eV/Å",
        layout="transition1x",
        elements="H C N O",
    ),
    "mlff-distribution-shifts": Download(
        summary="the splits of the paper on distribution shifts: SPICE 2, MD22, MD17",
        files=(),
        source="https://huggingface.co/datasets/tkreiman/mlff_distribution_shifts",
        licence=NOT_STATED,
        citation="Kreiman and Krishnapriyan, Digital Discovery 5, 415 (2026), "
        "https://doi.org/10.1039/d5dd00260e",
        level_of_theory="that of SPICE 2, MD22 and MD17, by file",
        units="as the files say",
        layout="xyz",
        elements="by file",
        keep=("*.xyz", "*.extxyz"),
        repository="tkreiman/mlff_distribution_shifts",
        notes=("its files are listed by `mlffbench download`; choose some with --file",),
    ),
}
"""Key -> row."""

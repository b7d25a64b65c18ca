"""What the sources of the PhysioNet/CinC Challenges 2020 and 2021 share: parts, ``#Dx`` codes, wrong gains.

Each part of the Challenge's data is known by the names of its records and annotates statements of its own
(annotates.csv, from the counts per part that the Challenge published with its evaluation code). A record's
statements are absent only where its own part annotates them; everything else is unknown.

Sinus rhythm is a case of its own. CPSC2018, CPSC2018-Extra, Georgia and PTB name it only where they name
nothing else, so a record of theirs without it may well be in sinus rhythm: there it is present where it is
named, absent beside a rhythm that excludes it, and otherwise unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ecgtransfer import signals
from ecgtransfer.datasets.sources import challenge_gain
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Sex, Source, parse_age
from ecgtransfer.datasets.sources.tables import coverage, listed
from ecgtransfer.datasets.statements import annotated, broader, crosswalk
from ecgtransfer.errors import DataError, EcgTransferError
from ecgtransfer.signals import Record
from ecgtransfer.signals.readers import wfdb

CITATION = (
    "Perez Alday et al. (2020), Physiological Measurement 41:124003, doi:10.1088/1361-6579/abc960; "
    "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
)
ADDRESS = "https://physionet.org/content/challenge-2021/1.0.3/"
SIGNAL_NOTE = (
    "mV as the header says, but for gains that are known to be wrong (Georgia 4880/mV, PTB-XL 200/mV): there "
    "1000/mV, where the samples confirm it"
)


@dataclass(frozen=True)
class Part:
    """One of the datasets that the Challenge is made of.

    ``name`` is what a record's ``source`` says, ``key`` its rows in annotates.csv, ``names`` the pattern of
    its records' names.
    """

    name: str
    key: str
    names: str


PARTS = (
    Part("cpsc2018", "cpsc2018", r"A\d{4}"),
    Part("cpsc2018-extra", "cpsc2018-extra", r"Q\d{4}"),
    Part("incart", "incart", r"I\d{4}"),
    Part("ptb", "challenge2021/ptb", r"S\d{4}"),
    Part("ptbxl", "challenge2021/ptbxl", r"HR\d{5}"),
    Part("georgia", "georgia", r"E\d{5}"),
    # Chapman-Shaoxing and Ningbo are numbered through; a Ningbo header is published as S23074, without its J.
    Part("chapman", "chapman", r"JS(?:0\d{4}|10[0-5]\d\d|106[0-3]\d|1064[0-6])"),
    Part("ningbo", "ningbo", r"J?S\d{5}"),
)

# Rhythms beside which there is no sinus rhythm in the same ten seconds.
_NO_SINUS_RHYTHM = frozenset(
    [
        *("AF", "AFL", "AFAFL", "CAF", "RAF", "ATach", "SVTAC", "AVNRT", "AVRT", "AVJR", "AJR", "JTach"),
        *("IR", "AIVR", "VEsR", "VTach", "VF", "VFL"),
    ]
)
_FIELD = re.compile(r"#?\s*(Dx|Age|Sex)\s*:\s*(.*)", re.IGNORECASE)
_SEX: dict[str, Sex] = {"male": "male", "m": "male", "female": "female", "f": "female"}


def part_of(name: str, parts: Iterable[Part] = PARTS) -> Part | None:
    """Return the part that a record belongs to by its name, None where no part has such names."""
    return next((part for part in parts if re.fullmatch(part.names, name)), None)


def parts_named(*names: str) -> tuple[Part, ...]:
    """Return parts by their names, in the order of `PARTS`."""
    return tuple(part for part in PARTS if part.name in names)


def codes_of(parts: Iterable[Part]) -> tuple[str, ...]:
    """Return every statement that some of these parts annotate with a Challenge code, in its order."""
    wanted = {code for part in parts for code in annotated(part.key)}
    return tuple(dict.fromkeys(code for code, _ in translation().values() if code in wanted))


@cache
def translation() -> dict[str, tuple[str, str]]:
    """Return the code, and how it was mapped (same, official, extra), of every SNOMED CT concept known."""
    return {row["snomed"]: (row["code"], row["mapping"]) for row in crosswalk("challenge")}


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a record, with another gain where ``how`` names one (``gain``, in steps per mV)."""
    return challenge_gain.load(path, float(how["gain"])) if "gain" in how else signals.read(path)


def contains(parts: tuple[Part, ...]) -> Callable[[Path], bool]:
    """Return a function that says whether a folder holds a header of one of these parts, at any depth."""

    def holds(folder: Path) -> bool:
        return any(part_of(path.stem, parts) for path in folder.rglob("*.hea"))

    return holds


@dataclass
class _Seen:
    """What is counted while the headers are read."""

    parts: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    corrected: Counter[str] = field(default_factory=Counter)
    unverified: list[str] = field(default_factory=list)
    beyond: Counter[str] = field(default_factory=Counter)


def list_records(
    root: Path, source: Source, parts: tuple[Part, ...], normal: str | None = None, others: str = ""
) -> Listing:
    """List the records of some parts of the Challenge's data, read from their headers.

    Parameters
    ----------
    root : path
        The folder, with the records at any depth.
    source : Source
        Its leads and tasks become those of the listing.
    parts : tuple of Part
        Records of other parts are left out and counted in a note.
    normal : str, optional
        A statement that is present where sinus rhythm is named and absent elsewhere: the label itself, for a
        part that names sinus rhythm only where it names nothing else.
    others : str
        Which source takes the records of other parts, for the note.

    Returns
    -------
    Listing
        Ordered by part and name. ``coverage`` has the SNOMED CT codes as they are written.
    """
    seen, entries, rejected = _Seen(), [], []
    places: dict[str, Path] = {}
    left: Counter[str] = Counter()
    for path in sorted(root.rglob("*.hea")):
        name, file = path.stem, path.relative_to(root).as_posix()
        part = part_of(name, parts)
        if part is None:
            other = part_of(name)
            if other is None:
                rejected.append(Rejection(name, file, "its name is that of no part of the Challenge"))
            else:
                left[other.name] += 1
            continue
        if name in places:
            reason = f"it is there twice: {places[name].relative_to(root).as_posix()} was taken"
            rejected.append(Rejection(name, file, reason))
            continue
        places[name] = path
        try:
            entries.append((parts.index(part), _entry(path, file, part, normal, seen)))
        except EcgTransferError as error:
            rejected.append(Rejection(name, file, error.what))
    entries.sort(key=lambda item: (item[0], item[1].record_id))
    present = [part for part in parts if seen.parts[part.name]]
    own = () if normal is None else (normal,)
    notes = [f"records of other sources left out: {listed(left)}{others}"] if left else []
    return Listing(
        root=root,
        entries=tuple(entry for _, entry in entries),
        leads=source.leads,
        annotates=(*own, *codes_of(present)),
        tasks=source.tasks,
        patients_known=False,
        complete=len(entries) == source.records,
        rejected=tuple(rejected),
        notes=(*_notes(seen, present), *notes),
        coverage=coverage(seen.labels, {snomed: code for snomed, (code, _) in translation().items()}),
    )


def _entry(path: Path, file: str, part: Part, normal: str | None, seen: _Seen) -> Entry:
    header = wfdb.read_header(path)
    fields = {
        found[1].lower(): found[2].strip()
        for comment in header.comments
        if (found := _FIELD.match(comment.strip()))
    }
    if "dx" not in fields:
        raise DataError("its header has no #Dx line", where=path, remedy="Copy or download it again")
    # E00015 names one code twice.
    concepts = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", fields["dx"]) if word))
    if not concepts:
        raise DataError("its #Dx line names no code", where=path, remedy="Copy or download it again")
    flags = [f"code not in the crosswalk: {code}" for code in concepts if code not in translation()]
    try:
        age, age_flags = parse_age(fields.get("age", ""), where=file)
    except DataError as error:
        age, age_flags = None, (error.what,)
    how: dict[str, Any] = {}
    finding = challenge_gain.check(header, part.name)
    if finding is not None:
        flags.append(finding.flag)
        if finding.gain is None:
            seen.unverified.append(path.stem)
        else:
            how["gain"] = finding.gain
            seen.corrected[f"{part.name} {finding.header:g}/mV"] += 1
    statements = _statements(concepts, part, normal)
    seen.parts[part.name] += 1
    seen.labels.update(concepts)
    ours = {**dict.fromkeys(annotated(part.key)), "SR": None}
    seen.beyond.update(
        f"{code} in {part.name}" for code, value in statements.items() if value == 1 and code not in ours
    )
    return Entry(
        record_id=path.stem,
        file=file,
        statements=statements,
        age=age,
        sex=_SEX.get(fields.get("sex", "").lower()),
        flags=(*flags, *age_flags),
        how=how,
        source=part.name,
    )


def _statements(concepts: tuple[str, ...], part: Part, normal: str | None) -> dict[str, int | None]:
    """Return what a record says: absent is only what its own part annotates."""
    known = translation()
    present = {known[concept][0] for concept in concepts if concept in known}
    mapped = {code for code, _ in known.values()}
    values: dict[str, int | None] = {code: 0 for code in annotated(part.key) if code in mapped}
    if "SR" not in values and present & _NO_SINUS_RHYTHM:
        values["SR"] = 0
    # Named by its kind alone, the broader statement is not named, but it is not absent either.
    for code in present:
        values.update({wide: None for wide in broader().get(code, ()) if wide in values})
    values.update(dict.fromkeys(sorted(present), 1))
    if normal is not None:
        values[normal] = int("SR" in present)
    return values


def _notes(seen: _Seen, present: list[Part]) -> list[str]:
    notes = []
    if len(present) > 1:
        notes.append("records of " + ", ".join(f"{p.name} ({seen.parts[p.name]:,})" for p in present))
    if seen.corrected:
        cases = ", ".join(f"{case}: {count:,}" for case, count in sorted(seen.corrected.items()))
        count = _records(seen.corrected.total())
        notes.append(f"gain corrected in {count} whose header is wrong, 1000/mV used ({cases})")
    if seen.unverified:
        named = ", ".join(seen.unverified[:10]) + (" …" if len(seen.unverified) > 10 else "")
        notes.append(
            f"{_records(len(seen.unverified))} with a gain that is wrong in others: the samples do not show "
            f"that it is, and it was left ({named})"
        )
    for snomed, (code, mapping) in translation().items():
        if mapping == "extra" and seen.labels[snomed]:
            notes.append(
                f"{snomed} is taken for {code} in {_records(seen.labels[snomed])}: an extra mapping, not one "
                "of the Challenge's own equivalences"
            )
    for snomed in sorted(seen.labels.keys() - translation().keys()):
        notes.append(f"code {snomed!r} is in no table and left unlabelled in {_records(seen.labels[snomed])}")
    if seen.beyond:
        notes.append(
            f"named by sources that are not known to annotate it: {listed(seen.beyond)}; present there, "
            "unknown in their other records"
        )
    some = [part.name for part in present if "SR" not in annotated(part.key)]
    if some:
        notes.append(
            f"{', '.join(some)}: sinus rhythm is named only where nothing else is, so where it is not named "
            "it is unknown, or absent beside a rhythm that excludes it"
        )
    if any(part.name == "ptbxl" for part in present):
        notes.append(
            "ptbxl: the Challenge wrote sinus rhythm (426783006) for PTB-XL's SR and for its NORM, so it is "
            "present here in normal ECGs that PTB-XL itself does not call SR"
        )
    if any(part.name == "ningbo" for part in present):
        notes.append(
            "ningbo: no record carries atrial fibrillation and 22 % of all carry atrial flutter; the two are "
            "probably merged there, so AF is unknown and AFL doubtful"
        )
    return notes


def _records(count: int) -> str:
    return f"{count:,} record{'s' * (count != 1)}"

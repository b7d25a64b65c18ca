"""The works that the methods text cites."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A work: authors, title, where it appeared, year."""

    authors: str
    title: str
    where: str
    year: int

    def __str__(self) -> str:
        parts = (text if text.endswith((".", "?")) else f"{text}." for text in (self.authors, self.title))
        return " ".join([*parts, f"{self.where}, {self.year}."])


REFERENCES = {
    "study": Reference(
        "Nguyen CV, Do CD",
        "Transfer learning in ECG diagnosis: Is it effective?",
        "PLoS ONE 20(5):e0316043",
        2025,
    ),
    "resnet": Reference(
        "He K, Zhang X, Ren S, Sun J", "Deep residual learning for image recognition", "CVPR", 2016
    ),
    "lstm": Reference(
        "Hochreiter S, Schmidhuber J", "Long short-term memory", "Neural Computation 9(8)", 1997
    ),
    "gru": Reference(
        "Cho K et al.",
        "Learning phrase representations using RNN encoder–decoder for statistical machine translation",
        "EMNLP",
        2014,
    ),
    "adamw": Reference("Loshchilov I, Hutter F", "Decoupled weight decay regularization", "ICLR", 2019),
    "crossed": Reference("Owen AB", "The pigeonhole bootstrap", "Annals of Applied Statistics 1(2)", 2007),
    "bayesian": Reference("Rubin DB", "The Bayesian bootstrap", "Annals of Statistics 9(1)", 1981),
    "cochran": Reference(
        "Cochran WG",
        "Approximate significance levels of the Behrens-Fisher test",
        "Biometrics 20(1)",
        1964,
    ),
    "clustered": Reference(
        "Obuchowski NA", "Nonparametric analysis of clustered ROC curve data", "Biometrics 53(2)", 1997
    ),
    "variance": Reference(
        "Bouthillier X et al.", "Accounting for variance in machine learning benchmarks", "MLSys", 2021
    ),
    "holm": Reference(
        "Holm S",
        "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics 6(2)",
        1979,
    ),
    "tost": Reference(
        "Schuirmann DJ",
        "A comparison of the two one-sided tests procedure and the power approach for assessing the "
        "equivalence of average bioavailability",
        "Journal of Pharmacokinetics and Biopharmaceutics 15(6)",
        1987,
    ),
    "rope": Reference(
        "Corani G, Benavoli A, Demšar J, Mangili F, Zaffalon M",
        "Statistical comparison of classifiers through Bayesian hierarchical modelling",
        "Machine Learning 106(11)",
        2017,
    ),
    "isotonic": Reference(
        "Barlow RE, Bartholomew DJ, Bremner JM, Brunk HD",
        "Statistical inference under order restrictions",
        "Wiley",
        1972,
    ),
    "curves": Reference(
        "Viering T, Loog M", "The shape of learning curves: a review", "IEEE TPAMI 45(6)", 2023
    ),
    "transferred": Reference(
        "Hernandez D, Kaplan J, Henighan T, McCandlish S",
        "Scaling laws for transfer",
        "arXiv:2102.01293",
        2021,
    ),
    "survival": Reference(
        "Kaplan EL, Meier P",
        "Nonparametric estimation from incomplete observations",
        "Journal of the American Statistical Association 53(282)",
        1958,
    ),
    "operations": Reference(
        "Kaplan J et al.", "Scaling laws for neural language models", "arXiv:2001.08361", 2020
    ),
    "calibration": Reference(
        "Van Calster B, McLernon DJ, van Smeden M, Wynants L, Steyerberg EW",
        "Calibration: the Achilles heel of predictive analytics",
        "BMC Medicine 17:230",
        2019,
    ),
    "noise": Reference(
        "Menon AK, van Rooyen B, Ong CS, Williamson RC",
        "Learning from corrupted binary labels via class-probability estimation",
        "ICML",
        2015,
    ),
}


class Citations:
    """Numbers works in the order in which a text cites them."""

    def __init__(self) -> None:
        self._cited: list[str] = []

    def __call__(self, *keys: str) -> str:
        """Return ``[1,2]`` for the works of these keys."""
        for key in keys:
            if key not in self._cited:
                self._cited.append(key)
        return "[" + ",".join(str(self._cited.index(key) + 1) for key in keys) + "]"

    @property
    def cited(self) -> list[Reference]:
        """The works cited so far, by number."""
        return [REFERENCES[key] for key in self._cited]

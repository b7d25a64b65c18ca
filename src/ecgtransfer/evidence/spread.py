"""What the width of an interval over patients × seeds is made of, and what follows from it.

With the parts of the variance at hand an interval can be had at any level, and its expected width for other
numbers of seeds and patients. `intervals` says what is estimated and how the parts are measured; here is the
rule that makes a width of them. With

- c, the variance due to patients that is common to all seeds (and pre-trainings), whatever their number,
- s²/S, the variance of the mean over S seeds: training noise and what patients do at single seeds,
- s_u²/U, the same over U pre-trainings, where the design crosses them with the seeds,
- s_i²/(US), what varies from run to run beyond both (it is contained in s²/S and in s_u²/U),
- V, the variance due to the patients for these very runs,
- c∞, what V falls to with ever more seeds: c where all seeds test the same patients, more where they test
  different folds, because two seeds of one repeat of the folds have no patient in common and two of different
  repeats have,

the half-width h at level 1 - α is ::

    h = (t(v) c + t_n n) / sqrt(c + n)        n = s²/S,                                      t_n = t(S-1)
                                      or      n = s_u²/U + max(0, s²/S - s_i²/(US)) where crossed

that is, the standard error times the mean of the Student quantiles of its parts, each weighted by its part of
the variance (Cochran's solution for variances with different degrees of freedom; it errs to the wide side, up
to 97 % for 95 % with three seeds). In a crossed design the interaction is counted once, in the pre-trainings'
part, which has fewest degrees of freedom; t_n is then a third of Cochran's weighted mean of t(U-1) and
t(S-1), which is too wide for two parts with few degrees of freedom (over 98 %), and two thirds of
Satterthwaite's quantile, which is too narrow (94 %). With two pre-trainings the latter errs too far, and
Cochran's is taken. A guard is added ::

    h ≥ z(6α) sqrt(V)

because few seeds may agree by luck: the interval is at least the one that the patients alone would have at
six times the error (70 % for 95 %). Stronger guards cover over 98 % with three seeds that add no noise of
their own, because then both lines estimate the same variance and the larger estimate always wins.

References
----------
Cochran (1964), Approximate significance levels of the Behrens-Fisher test, Biometrics 20(1); Satterthwaite
(1946), An approximate distribution of estimates of variance components, Biometrics Bulletin 2(6); Searle,
Casella and McCulloch (1992), Variance components, chapter 4, for crossed designs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# The guard's error is this many times the interval's.
_GUARD = 6.0


@dataclass(frozen=True)
class Spread:
    """The parts of an interval's variance, as the top of this file names them.

    Attributes
    ----------
    patients : float
        V, the variance of the estimate due to the choice of test patients, for these runs.
    shared : float
        c, the part of it that is common to the seeds, on average over pairs of them.
    own : float
        The patients' variance of one seed beyond what is shared.
    between : float
        s², the variance of one seed's value, training noise and patients' own part together; 0 with one seed.
    n_seeds : int
    freedom : float
        Degrees of freedom v of the patients' variances.
    between_pretrainings : float
        s_u², the variance of the means per pre-training seed; 0 with fewer than two.
    n_pretrainings : int
        U; 0 where the seeds' own spread already holds the pre-trainings'.
    interaction : float
        s_i², the variance of a run's value beyond its seed and its pre-training; 0 unless every seed ran from
        every pre-training.
    lasting : float or None
        c∞, the patients' variance that no number of seeds lowers; None is c.
    tested_once : bool
        No patient was tested at two seeds, so nothing tells c∞ and ``lasting`` is the most that it can be:
        all that the patients do to these runs they would do to any others.
    """

    patients: float
    shared: float
    own: float
    between: float
    n_seeds: int
    freedom: float
    between_pretrainings: float = 0.0
    n_pretrainings: int = 0
    interaction: float = 0.0
    lasting: float | None = None
    tested_once: bool = False

    def half_width(self, level: float, *, n_seeds: int | None = None, patients_times: float = 1.0) -> float:
        """Return the half-width at a level, as the top of this file says.

        Parameters
        ----------
        level : float
        n_seeds : int, optional
            What it would be expected to be with so many seeds.
        patients_times : float
            What it would be expected to be with so many times the test patients.
        """
        design = (
            self
            if n_seeds is None and patients_times == 1
            else self.with_design(n_seeds=n_seeds, patients_times=patients_times)
        )
        return max(design._guard(level), design._half_width(level))

    def power(self, difference: float, level: float) -> float:
        """Return the probability that the interval at ``level`` lies above zero, given the true difference.

        The half-width is itself estimated, and on few seeds its error decides how often zero is excluded: the
        estimate less its half-width is taken as normal, with both variances.
        """
        from scipy.special import ndtr

        doubt = self._doubt(level)
        if doubt == 0:
            return float(difference > 0)
        return float(ndtr((difference - self.half_width(level)) / doubt))

    def minimum_detectable(self, level: float, power: float) -> float:
        """Return the true difference at which :meth:`power` has this value."""
        from scipy.special import ndtri

        return self.half_width(level) + float(ndtri(power)) * self._doubt(level)

    def patients_alone(self, level: float) -> float:
        """Return the half-width that the choice of test patients leaves with any number of seeds.

        At the most, where :attr:`tested_once`.
        """
        lasting = self.shared if self.lasting is None else self.lasting
        return float(_student(self.freedom, level) * lasting**0.5)

    @property
    def standard_error(self) -> float:
        """Standard deviation of the estimate: patients, seeds and pre-trainings together."""
        return float(max(self.patients, self._common() + self._noise()[0]) ** 0.5)

    def _half_width(self, level: float) -> float:
        """Return the half-width without the guard."""
        common, (noise, _) = self._common(), self._noise()
        if common + noise == 0:
            return 0.0
        weighted = common * _student(self.freedom, level) + noise * self._noise_quantile(level)
        return float(weighted / (common + noise) ** 0.5)

    def _guard(self, level: float) -> float:
        # scipy is slow to import and not among the core dependencies.
        from scipy.special import ndtri

        return float(ndtri(max(0.5, 1.0 - _GUARD * (1.0 - level) / 2.0))) * float(self.patients**0.5)

    def _doubt(self, level: float) -> float:
        """Return the standard deviation of the estimate less its half-width."""
        common, (noise, freedom) = self._common(), self._noise()
        root = (common + noise) ** 0.5
        if root == 0:
            return self.standard_error
        # A variance with v degrees of freedom varies by 2/v of its square; delta method.
        middle = self._half_width(level) / (2.0 * root)
        by_common = (_student(self.freedom, level) - middle) / root * common
        by_noise = (self._noise_quantile(level) - middle) / root * noise if noise else 0.0
        varies = 2.0 * by_common**2 / self.freedom + 2.0 * by_noise**2 / freedom
        return float((self.standard_error**2 + varies) ** 0.5)

    def _common(self) -> float:
        """Return c; with a single run nothing tells it from the rest."""
        return self.patients if self.n_seeds == 1 and self.n_pretrainings < 2 else self.shared

    def _parts(self) -> tuple[tuple[float, float], ...]:
        """Return the parts of n, each with its degrees of freedom."""
        seeds, trainings = self.n_seeds, self.n_pretrainings
        parts = []
        if seeds > 1:
            both = self.interaction / (seeds * trainings) if trainings > 1 else 0.0
            parts.append((max(0.0, self.between / seeds - both), seeds - 1.0))
        if trainings > 1:
            parts.append((self.between_pretrainings / trainings, trainings - 1.0))
        return tuple(part for part in parts if part[0] > 0)

    def _noise(self) -> tuple[float, float]:
        """Return n and its degrees of freedom (Satterthwaite)."""
        parts = self._parts()
        total = sum(variance for variance, _ in parts)
        if total == 0:
            return 0.0, 1.0
        return total, 1.0 / sum((variance / total) ** 2 / freedom for variance, freedom in parts)

    def _noise_quantile(self, level: float) -> float:
        """Return t_n."""
        parts, (total, freedom) = self._parts(), self._noise()
        if total == 0:
            return 0.0
        cochran = sum(variance * _student(each, level) for variance, each in parts) / total
        if len(parts) == 1 or self.n_pretrainings == 2:
            return cochran
        return (cochran + 2.0 * _student(freedom, level)) / 3.0

    def with_design(
        self, *, n_seeds: int | None = None, n_pretrainings: int | None = None, patients_times: float = 1.0
    ) -> Spread:
        """Return what the parts would be expected to be with other numbers of seeds, pre-trainings, patients.

        What few seeds happened to show is replaced by what the patients' variance lets expect of them, so
        that the forecast for the very same numbers may be wider than the interval.
        """
        seeds = self.n_seeds if n_seeds is None else n_seeds
        trainings = self.n_pretrainings if n_pretrainings is None else n_pretrainings
        lasting = self.shared if self.lasting is None else self.lasting
        at_one = self.shared + self.own
        now = self.shared + self.own / self.n_seeds
        then = lasting + (now - lasting) * self.n_seeds / seeds
        # c + own/S is `then`, and c + own, the variance at one seed, stays.
        shared = max(0.0, (then * seeds - at_one) / (seeds - 1)) if seeds > 1 else self.shared
        own = max(0.0, at_one - shared)
        noise = max(0.0, self.between - self.own)
        fewer = 0.0 if trainings == self.n_pretrainings else 1.0 / self.n_pretrainings - 1.0 / trainings
        noise = max(0.0, noise - self.interaction * fewer)
        of_trainings = self.between_pretrainings + self.interaction * (1.0 / seeds - 1.0 / self.n_seeds)
        # In a crossed design patients have a part in single pre-trainings too, which other seeds leave.
        beyond = max(0.0, self.patients - now) if self.n_pretrainings > 1 else 0.0
        kept = self.n_pretrainings / trainings if trainings else 1.0
        # Where the number of seeds stays, so does what these runs say of the patients.
        patients = self.patients - beyond if seeds == self.n_seeds else shared + own / seeds
        return replace(
            self,
            patients=(patients + beyond * kept) / patients_times,
            shared=shared / patients_times,
            own=own / patients_times,
            between=noise + own / patients_times if self.n_seeds > 1 else 0.0,
            n_seeds=seeds,
            freedom=self.freedom * patients_times,
            between_pretrainings=max(0.0, of_trainings),
            n_pretrainings=trainings,
            lasting=lasting / patients_times,
        )


def _student(freedom: float, level: float) -> float:
    """Return the two-sided Student quantile."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1.0 + level) / 2.0))

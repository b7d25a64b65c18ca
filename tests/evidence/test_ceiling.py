"""Agreement of two labels and the AUROC it leaves: against scikit-learn, scipy and simulated truth."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import noise_ceiling
from ecgtransfer.evidence.ceiling import CASES, error_rates, perfect

RNG = np.random.default_rng


def pairs(
    rng: np.random.Generator, n: int, *, prevalence: float = 0.3, missed: float = 0.1, invented: float = 0.1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the truth and two independent readings of it."""
    truth = rng.uniform(size=n) < prevalence
    rate = np.where(truth, 1 - missed, invented)
    first, second = (rng.uniform(size=(2, n)) < rate).astype(float)
    return truth.astype(float), first, second


def test_agreement_and_kappa_are_those_of_scipy_and_scikit_learn() -> None:
    _, a, b = pairs(RNG(0), 200)
    found = noise_ceiling(a, b, target="AF", basis="duplicates")
    exact = binomtest(int((a == b).sum()), 200).proportion_ci(0.95, method="exact")
    assert found.agreement == np.mean(a == b)
    assert (found.agreement_low, found.agreement_high) == pytest.approx((exact.low, exact.high))
    assert found.kappa == pytest.approx(cohen_kappa_score(a, b))
    rng = RNG(1)
    drawn = [cohen_kappa_score(a[i], b[i]) for i in rng.integers(200, size=(300, 200))]
    assert (found.kappa_high - found.kappa_low) / 2 == pytest.approx(1.96 * np.std(drawn), rel=0.15)
    assert found.pairs == 200


@pytest.mark.parametrize(
    ("case", "missed", "invented"),
    [("symmetrical", 0.08, 0.08), ("missed only", 0.3, 0.0), ("invented only", 0.0, 0.1)],
)
def test_a_model_that_knows_the_truth_is_measured_at_the_ceiling(
    case: str, missed: float, invented: float
) -> None:
    truth, a, b = pairs(RNG(2), 400_000, missed=missed, invented=invented)
    found = noise_ceiling(a, b, target="AF", basis="duplicates")
    measured = roc_auc_score(a, truth)
    assert found.assumptions[case] == pytest.approx(measured, abs=0.004)
    assert found.ceiling_low <= measured <= found.ceiling_high
    others = [found.assumptions[other] for other in CASES if other != case]
    assert min(abs(other - measured) for other in others) > 0.01
    if case == "symmetrical":
        assert found.flip_rate == pytest.approx(0.08, abs=0.003)
        assert found.ceiling_auroc == found.assumptions["symmetrical"]


def test_no_score_of_the_truth_beats_it() -> None:
    """Whatever else a score adds to the truth, it says nothing of which labels are wrong."""
    rng = RNG(3)
    truth, a, b = pairs(rng, 100_000)
    ceiling = noise_ceiling(a, b, target="AF", basis="duplicates").ceiling_auroc
    for spread in (0.01, 0.3, 1.0):
        assert roc_auc_score(a, truth + spread * rng.normal(size=len(truth))) < ceiling + 0.005


def test_another_prevalence_in_the_test_part_moves_the_ceiling() -> None:
    _, a, b = pairs(RNG(4), 400_000)
    truth, test, _ = pairs(RNG(5), 400_000, prevalence=0.05)
    found = noise_ceiling(a, b, target="AF", basis="duplicates", prevalence=float(test.mean()))
    assert found.ceiling_auroc == pytest.approx(roc_auc_score(test, truth), abs=0.005)


@given(st.floats(0.0, 0.49), st.floats(0.02, 0.98))
def test_more_disagreement_never_raises_the_ceiling(disagreement: float, prevalence: float) -> None:
    for case in CASES:
        here = perfect(error_rates(disagreement, prevalence, case), prevalence)
        more = perfect(error_rates(disagreement + 0.01, prevalence, case), prevalence)
        assert more is None or (here is not None and more <= here + 1e-12)
        assert here is None or 0.5 <= here <= 1.0
        if disagreement == 0:
            assert here == pytest.approx(1.0)


@given(st.floats(0.0, 0.3), st.floats(0.05, 0.95))
def test_missing_what_is_present_mirrors_inventing_what_is_absent(d: float, p: float) -> None:
    missed = perfect(error_rates(d, p, "missed only"), p)
    invented = perfect(error_rates(d, 1 - p, "invented only"), 1 - p)
    assume(missed is not None and invented is not None)
    assert missed == pytest.approx(invented)
    even = perfect(error_rates(d, p, "symmetrical"), p), perfect(error_rates(d, 1 - p, "symmetrical"), 1 - p)
    assert even[0] == pytest.approx(even[1]) or even == (None, None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=60), st.randoms())
def test_which_label_is_first_and_in_what_order_does_not_matter(labels: list, random) -> None:
    a, b = (np.array(column, float) for column in zip(*labels, strict=True))
    order = list(range(len(a)))
    random.shuffle(order)
    one, other = (
        asdict(noise_ceiling(*each, target=None, basis="x")) for each in ((a, b), (b[order], a[order]))
    )
    assert one.pop("assumptions") == pytest.approx(other.pop("assumptions"))
    assert one.pop("text") == other.pop("text")
    for name in ("agreement", "kappa", "kappa_low", "ceiling_auroc", "ceiling_low", "ceiling_high"):
        assert one[name] == (None if other[name] is None else pytest.approx(other[name]))


def test_full_agreement_leaves_a_ceiling_of_one_but_not_for_sure() -> None:
    a = np.array([1.0] * 30 + [0.0] * 70)
    found = noise_ceiling(a, a, target="AF", basis="duplicates within ptbxl")
    assert (found.agreement, found.kappa, found.ceiling_auroc, found.ceiling_high) == (1, 1, 1, 1)
    # 0 of 100: the exact limit is 1 - 0.025^(1/100).
    assert found.agreement_low == pytest.approx(0.025**0.01)
    assert 0.9 < found.ceiling_low < 1
    assert found.text.startswith(
        "AF: two labels agree in 100 of 100 pairs (duplicates within ptbxl): if errors"
    )


def test_too_few_pairs_are_said() -> None:
    a = np.array([1.0, 0.0] * 10)
    found = noise_ceiling(a, a, target="AF", basis="duplicates")
    assert found.ceiling_auroc is None
    assert found.agreement == 1
    assert (
        found.text
        == "AF: two labels agree in 20 of 20 pairs (duplicates): too few pairs for a ceiling, 30 needed."
    )
    none = noise_ceiling([], [], target=None, basis="duplicates")
    assert (none.pairs, none.agreement) == (0, None)
    assert none.text == "all targets: no pair from duplicates has both labels known."
    unknown = noise_ceiling([1, np.nan], [np.nan, 0], target="AF", basis="duplicates")
    assert unknown.pairs == 0


def test_labels_that_never_vary_and_labels_at_chance_have_no_ceiling() -> None:
    alike = noise_ceiling(np.zeros(50), np.zeros(50), target="WPW", basis="duplicates")
    assert (alike.kappa, alike.ceiling_auroc) == (None, None)
    assert "say nothing about a ceiling" in alike.text
    a = pairs(RNG(6), 200, prevalence=0.5)[1]
    chance = noise_ceiling(a, np.where(np.arange(200) < 110, 1 - a, a), target="AF", basis="duplicates")
    assert (chance.ceiling_auroc, chance.ceiling_low) == (None, 0.5)
    assert "no model can be told from another" in chance.text


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="pair each"):
        noise_ceiling([1, 0], [1], target=None, basis="x")
    with pytest.raises(DataError, match="1 \\(present\\)"):
        noise_ceiling([2, 0], [1, 0], target=None, basis="x")
    with pytest.raises(DataError, match="prevalence"):
        noise_ceiling([1, 0], [1, 0], target=None, basis="x", prevalence=1.0)


def test_rows_are_plain_values() -> None:
    import json

    _, a, b = pairs(RNG(7), 50)
    row = json.loads(json.dumps(asdict(noise_ceiling(a, b, target="AF", basis="x"))))
    assert set(row["assumptions"]) == set(CASES)

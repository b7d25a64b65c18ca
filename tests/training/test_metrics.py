import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from ecgtransfer.errors import ConfigError, ModelError
from ecgtransfer.training import evaluate, mean_f1, specificity_thresholds, thresholds, weighted_f1

NAN = float("nan")


def judge(labels, logits, **options):
    labels = np.asarray(labels, float)
    names = [f"t{k}" for k in range(labels.shape[1])]
    options = {"thresholds": [0.0] * len(names), "macro_targets": names} | options
    return evaluate(labels, logits, names, **options)


@pytest.fixture
def some():
    random = np.random.default_rng(3)
    labels = (random.random((80, 2)) < 0.3).astype(float)
    return labels, random.normal(size=(80, 2)) + labels


def test_agrees_with_scikit_learn(some):
    labels, logits = some
    found = judge(labels, logits, thresholds=[0.2, -0.4], specificity_thresholds=[0.5, 0.5])
    for k, threshold in enumerate([0.2, -0.4]):
        y, z, row = labels[:, k], logits[:, k], found["targets"][f"t{k}"]
        assert row["auroc"] == pytest.approx(roc_auc_score(y, z))
        assert row["auprc"] == pytest.approx(average_precision_score(y, z))
        assert row["f1"] == pytest.approx(f1_score(y, z >= threshold))
        assert row["brier"] == pytest.approx(brier_score_loss(y, 1 / (1 + np.exp(-z))))
        assert row["sensitivity_at_specificity"] == pytest.approx(np.mean(z[y == 1] >= 0.5))
        assert row["specificity_reached"] == pytest.approx(np.mean(z[y == 0] < 0.5))
        assert row["why"] == {}
    for metric in ("auroc", "auprc", "f1", "brier", "ece", "sensitivity_at_specificity"):
        assert found["macro"][metric] == pytest.approx(
            np.mean([r[metric] for r in found["targets"].values()])
        )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), records=st.integers(1, 30), targets=st.integers(2, 5))
def test_averaged_f1_agree_with_scikit_learn(seed, records, targets):
    random = np.random.default_rng(seed)
    labels = (random.random((records, targets)) < random.random(targets)).astype(float)
    logits = random.normal(size=(records, targets))
    options = {"y_true": labels, "y_pred": logits >= 0, "zero_division": 0}
    assert weighted_f1(labels, logits) == pytest.approx(f1_score(average="weighted", **options))
    assert mean_f1(labels, logits) == pytest.approx(f1_score(average="macro", **options))


def test_averaged_f1_leave_out_what_is_unknown(some):
    labels, logits = some
    gaps = np.where(np.random.default_rng(0).random(labels.shape) < 0.3, NAN, labels)
    by_hand = []
    for y, z in zip(gaps.T, logits.T, strict=True):
        known = ~np.isnan(y)
        by_hand.append((f1_score(y[known], z[known] >= 0), y[known].sum()))
    f1, positives = np.transpose(by_hand)
    assert weighted_f1(gaps, logits) == pytest.approx((f1 * positives).sum() / positives.sum())
    assert mean_f1(gaps, logits) == pytest.approx(f1.mean())


def test_closed_forms():
    labels = [[1], [1], [0], [0], [0]]
    logits = [[3.0], [0.0], [1.0], [-1.0], [-2.0]]
    row = judge(labels, logits)["targets"]["t0"]
    assert row["auroc"] == pytest.approx(5 / 6)
    assert row["auprc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert row["f1"] == pytest.approx(2 * 2 / (3 + 2))
    p = 1 / (1 + np.exp(-np.ravel(logits)))
    # Five records in five different bins: ECE is the mean absolute error.
    assert row["ece"] == pytest.approx(np.mean(np.abs(p - np.ravel(labels))))
    shared = judge([[1], [0], [1], [0]], [[0.0], [0.01], [0.02], [0.03]])["targets"]["t0"]
    assert shared["ece"] == pytest.approx(np.mean(1 / (1 + np.exp([-0.0, -0.01, -0.02, -0.03]))) - 0.5)


def test_perfectly_calibrated_and_constant():
    row = judge([[1], [0]], [[0.0], [0.0]])["targets"]["t0"]
    assert (row["auroc"], row["auprc"], row["brier"], row["ece"]) == (0.5, 0.5, 0.25, 0.0)


def test_unknown_is_left_out_and_counted(some):
    labels, logits = some
    holed = np.vstack([labels, [[NAN, 1.0], [NAN, 0.0]]])
    more = np.vstack([logits, [[9.0, 0.3], [-9.0, -0.3]]])
    assert thresholds(holed, more)[0] == thresholds(labels, logits)[0]
    row, plain = (judge(*pair)["targets"]["t0"] for pair in ((holed, more), (labels, logits)))
    assert row.pop("unknown") == 2
    assert plain.pop("unknown") == 0
    assert row == plain


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([[0], [0], [NAN]], "0 positive record(s), at least 1 needed"),
        ([[1], [1], [NAN]], "0 negative record(s), at least 1 needed"),
        ([[NAN], [NAN], [NAN]], "0 positive record(s), at least 1 needed"),
    ],
)
def test_too_few_is_said_never_a_number(labels, reason):
    found = judge(labels, [[1.0], [2.0], [3.0]])
    for metric in ("auroc", "auprc", "f1", "brier", "ece", "sensitivity_at_specificity"):
        assert found["targets"]["t0"][metric] is None
        assert found["targets"]["t0"]["why"][metric] == reason
        assert found["macro"][metric] is None
        assert found["macro"]["why"][metric] == f"t0: {reason}"
    assert thresholds(labels, [[1.0], [2.0], [3.0]]) == [None]


def test_minimum_positives_and_macro_over_the_fixed_targets(some):
    labels, logits = some
    labels = labels.copy()
    labels[:, 1] = 0
    labels[:4, 1] = 1
    found = judge(labels, logits, minimum_positives=5)
    assert found["targets"]["t1"]["auroc"] is None
    assert "4 positive" in found["targets"]["t1"]["why"]["auroc"]
    assert found["macro"]["auroc"] is None
    only = judge(labels, logits, minimum_positives=5, macro_targets=["t0"])
    assert only["macro"]["auroc"] == only["targets"]["t0"]["auroc"]
    assert judge(labels, logits, macro_targets=[])["macro"]["auroc"] is None
    assert thresholds(labels, logits, minimum_positives=5)[1] is None


def test_without_a_threshold_only_its_metric_is_missing(some):
    row = judge(*some, thresholds=[None, 0.0])["targets"]["t0"]
    assert row["f1"] is None
    assert "validation" in row["why"]["f1"]
    assert row["auroc"] is not None
    assert row["sensitivity_at_specificity"] is None
    assert "sensitivity_at_specificity" in row["why"]


columns = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=25).filter(
    lambda rows: len({y for y, _ in rows}) == 2
)


def f1(y, called):
    return 2 * (called * y).sum() / (called.sum() + y.sum())


@given(columns)
def test_no_other_threshold_has_a_higher_f1(rows):
    y = np.array([[float(label)] for label, _ in rows])
    z = np.array([[float(logit)] for _, logit in rows])
    (best,) = thresholds(y, z)
    reached = f1(y, z >= best)
    for other in np.arange(-5, 5.5, 0.5):
        value = f1(y, z >= other)
        assert value <= reached + 1e-9
        if other > best and not np.array_equal(z >= other, z >= best):
            assert value < reached - 1e-9, "of equals the highest"


@given(columns, st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_specificity_holds_and_no_lower_threshold_holds_it(rows, specificity):
    y = np.array([[float(label)] for label, _ in rows])
    z = np.array([[float(logit)] for _, logit in rows])
    (found,) = specificity_thresholds(y, z, specificity=specificity)
    negatives = z[y == 0]
    assert np.mean(negatives < found) >= specificity - 1e-9
    below = z[z < found]
    if len(below):
        assert np.mean(negatives < below.max()) < specificity - 1e-9


def test_midway_between_neighbours():
    labels, logits = [[0], [0], [1], [1]], [[-3.0], [-1.0], [2.0], [4.0]]
    assert thresholds(labels, logits) == [0.5]
    assert specificity_thresholds(labels, logits, specificity=1.0) == [0.5]
    assert specificity_thresholds(labels, logits, specificity=0.5) == [-2.0 + 0.0]


def test_contradictions_are_refused(some):
    labels, logits = some
    with pytest.raises(ConfigError, match="do not fit"):
        evaluate(labels, logits, ["a"], thresholds=[0.0], macro_targets=["a"])
    with pytest.raises(ConfigError, match="macro target b"):
        evaluate(labels, logits, ["a", "c"], thresholds=[0.0, 0.0], macro_targets=["b"])
    with pytest.raises(ConfigError, match="both"):
        thresholds(labels, logits[:5])
    with pytest.raises(ModelError, match="1 record"):
        thresholds(labels, np.where(np.arange(160).reshape(80, 2) == 7, np.inf, logits))

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecgtransfer.errors import ConfigError, DataError
from ecgtransfer.training import Feed, Order


def test_windows_come_record_by_record_in_the_order_asked_for(store):
    records = np.array([7, 2, 11, 0])
    feed = Feed(store, records, store.truth[records])
    signals = torch.cat(list(feed.windows(3))).numpy()
    expected = np.concatenate([store.signals[store.record_of_row == record] for record in records])
    np.testing.assert_array_equal(signals, expected)
    np.testing.assert_array_equal(records[feed.record_of_window], np.repeat(records, feed._n_windows))


@pytest.mark.parametrize("cache_bytes", [2**30, 0])
def test_a_batch_is_a_window_of_the_record_and_its_labels(store, cache_bytes):
    records = np.arange(5, 25)
    feed = Feed(store, records, store.truth[records], cache_bytes=cache_bytes)
    assert feed.cached == (cache_bytes > 0)
    positions = np.array([3, 3, 0, 19])
    for choice, which in ((0.0, 0), (0.999, -1)):
        signals, labels = feed.batch(positions, np.full(4, choice))
        expected = [store.signals[store.record_of_row == records[p]][which] for p in positions]
        np.testing.assert_array_equal(signals.numpy(), np.stack(expected))
        np.testing.assert_array_equal(labels.numpy(), store.truth[records[positions]])


def test_the_cache_is_read_once_and_changes_nothing(store):
    records = np.arange(20)
    cached, read = (Feed(store, records, store.truth[:20], cache_bytes=size) for size in (2**30, 0))
    order = Order(20, 8, study_seed=1, seed=2)
    for update in range(5):
        assert torch.equal(cached.batch(*order.at(update))[0], read.batch(*order.at(update))[0])
    assert store.reads == 1 + 5


def test_windows_are_averaged_per_record(store):
    records = np.array([9, 4])
    feed = Feed(store, records, store.truth[records])
    values = np.arange(feed.n_windows, dtype=np.float32)[:, None]
    means = feed.mean_by_record(values)
    np.testing.assert_allclose(means[0, 0], values[feed.record_of_window == 0].mean())
    np.testing.assert_allclose(means[1, 0], values[feed.record_of_window == 1].mean())


@given(n=st.integers(2, 40), batch=st.integers(2, 64), epochs=st.integers(1, 4), seed=st.integers(0, 99))
def test_epochs_visit_each_record_once_and_nothing_is_dropped(n, batch, epochs, seed):
    order = Order(n, batch, study_seed=0, seed=seed)
    assert order.batch_size == min(n, batch)
    updates = -(-epochs * n // order.batch_size)
    visits = np.concatenate([order.at(update)[0] for update in range(updates)])[: epochs * n]
    for epoch in visits.reshape(epochs, n):
        assert sorted(epoch) == list(range(n))


@given(n=st.integers(2, 40), batch=st.integers(2, 64), epochs=st.integers(1, 4), seed=st.integers(0, 99))
def test_whole_epochs_keep_apart(n, batch, epochs, seed):
    order = Order(n, batch, study_seed=0, seed=seed, whole_epochs=True)
    joined = Order(n, batch, study_seed=0, seed=seed)
    per_epoch = -(-n // order.batch_size)
    for epoch in range(epochs):
        batches = [order.at(epoch * per_epoch + update)[0] for update in range(per_epoch)]
        assert [len(each) for each in batches[:-1]] == [order.batch_size] * (per_epoch - 1)
        assert 1 <= len(batches[-1]) <= order.batch_size
        assert sorted(np.concatenate(batches)) == list(range(n))
        assert order.visits((epoch + 1) * per_epoch) == (epoch + 1) * n
    # The same order of records, cut elsewhere.
    np.testing.assert_array_equal(order.at(0)[0], joined.at(0)[0])
    assert joined.visits(3) == 3 * joined.batch_size


def test_order_depends_on_seeds_and_update_alone():
    def batches(seed, updates, study_seed=0):
        order = Order(17, 5, study_seed=study_seed, seed=seed)
        return {update: [part.tolist() for part in order.at(update)] for update in updates}

    straight, jumping = batches(3, range(12)), batches(3, [11, 0, 7, 4])
    assert all(straight[update] == jumping[update] for update in jumping)
    assert straight != batches(4, range(12))
    assert straight != batches(3, range(12), study_seed=1)
    assert straight[0] != straight[6]


def test_every_window_is_drawn(store):
    order = Order(30, 30, study_seed=0, seed=0)
    feed = Feed(store, np.arange(30), store.truth)
    drawn = {signals.tobytes() for u in range(40) for signals in feed.batch(*order.at(u))[0].numpy()}
    assert len(drawn) == feed.n_windows


def test_what_cannot_be_fed_is_said(store):
    labels = store.truth
    with pytest.raises(DataError, match="record 30 is not in the store"):
        Feed(store, [3, 30], labels[:2])
    with pytest.raises(DataError, match="record 4 is named twice"):
        Feed(store, [4, 5, 4], labels[:3])
    with pytest.raises(DataError, match="do not fit"):
        Feed(store, [4, 5, 6], labels[:2])
    with pytest.raises(DataError, match="other than 1, 0 and NaN"):
        Feed(store, [4], [[0.5, 1.0]])
    with pytest.raises(DataError, match="no record"):
        Feed(store, [], labels[:0])
    store.record_of_row = np.where(store.record_of_row == 4, 3, store.record_of_row)
    with pytest.raises(DataError, match="record 4 has no window"):
        Feed(store, [3, 4], labels[:2])
    with pytest.raises(ConfigError, match="at least 2"):
        Order(1, 8, study_seed=0, seed=0)

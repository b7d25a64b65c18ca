import dataclasses

import pytest
import torch

from ecgtransfer.errors import ConfigError
from ecgtransfer.training import Augmentation, augment

OFF = Augmentation.none()
EVERYTHING = Augmentation(polarity_flip=True, lead_dropout=0.3)


def signals(records=16, leads=3, samples=200):
    return torch.randn(records, leads, samples, generator=torch.Generator().manual_seed(5))


def vary(batch, seed=1, **settings):
    generator = torch.Generator().manual_seed(seed)
    setting = dataclasses.replace(OFF, **settings)
    return augment(batch, setting, sampling_rate=100.0, generator=generator)


def test_seeded_and_without_the_global_generator():
    batch = signals()
    state, copy = torch.get_rng_state(), batch.clone()
    settings = dataclasses.asdict(EVERYTHING)
    one, same, other = (vary(batch, seed, **settings) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(batch, copy), "the batch that came in was modified"


def test_off_is_the_identity():
    batch = signals()
    assert vary(batch) is batch


def test_gain_is_one_factor_per_record_within_its_bounds():
    batch = signals(200)
    factors = (vary(batch, gain=0.5) / batch).flatten(1)
    torch.testing.assert_close(factors.amin(1), factors.amax(1), rtol=1e-4, atol=0)
    assert 1 / 1.5 - 1e-4 <= factors.min() < 0.75
    assert 1.3 < factors.max() <= 1.5 + 1e-4
    assert abs(factors.log().mean()) < 0.06, "log-uniform: as often up as down"


def test_polarity_flips_about_half_of_the_records_and_nothing_else():
    batch = signals(400)
    signs = (vary(batch, polarity_flip=True) / batch).flatten(1)
    assert torch.equal(signs.amin(1), signs.amax(1))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert 150 < (signs[:, 0] < 0).sum() < 250


def test_crop_shifts_and_fills_with_no_sample():
    ramp = torch.arange(1.0, 201.0).expand(300, 2, 200)
    moved = vary(ramp, crop=0.1)
    shifts = []
    for record in moved:
        assert torch.equal(record[0], record[1])
        kept = torch.nonzero(record[0]).flatten()
        assert torch.equal(kept, torch.arange(int(kept[0]), int(kept[-1]) + 1))
        shift = int(record[0, kept[0]] - 1 - kept[0])
        assert torch.equal(record[0, kept], ramp[0, 0, kept + shift])
        assert len(kept) == 200 - abs(shift)
        shifts.append(shift)
    assert min(shifts) >= -20
    assert max(shifts) <= 20
    assert min(shifts) < -15
    assert max(shifts) > 15


def test_noise_and_wander_have_the_size_asked_for():
    batch = signals(64, samples=2000)
    noise = vary(batch, noise=0.05) - batch
    deviations = noise.std(dim=(1, 2))
    assert deviations.max() < 0.053
    assert 0.02 < deviations.mean() < 0.03
    wander = vary(batch, wander=0.1) - batch
    assert 0.08 < wander.abs().max() <= 0.1 + 1e-5
    spectrum = torch.fft.rfft(wander - wander.mean(-1, keepdim=True)).abs().square()
    assert spectrum[..., : round(1.0 * 20)].sum() > 0.99 * spectrum.sum(), "all below 1 Hz"


def test_no_sample_stays_no_sample():
    batch = signals()
    batch[:, 1] = 0.0
    batch[:, :, 150:] = 0.0
    varied = vary(batch, noise=0.1, wander=0.2, gain=0.3)
    assert torch.equal(varied == 0, batch == 0)


@pytest.mark.parametrize("leads", [1, 2, 12])
def test_lead_dropout_never_takes_all_leads(leads):
    batch = signals(500, leads, 20)
    gone = (vary(batch, lead_dropout=0.9) == 0).all(2)
    assert not gone.all(1).any()
    assert gone.any() == (leads > 1)
    if leads == 12:
        assert 0.75 < gone.float().mean() < 0.95
    assert not (vary(batch, lead_dropout=1.0) == 0).all(2).all(1).any()


def test_switching_one_off_leaves_the_draws_of_the_others():
    batch = signals()
    assert torch.equal(vary(batch, gain=0.3, crop=0.1), vary(vary(batch, crop=0.1), gain=0.3))


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match=r"crop is 1\.5"):
        Augmentation(crop=1.5)
    with pytest.raises(ConfigError, match="noise is -1"):
        Augmentation(noise=-1.0)

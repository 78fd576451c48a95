"""Vocoders of the published networks: shapes, seeds, options, losses that a step lowers, and what is refused."""

import json

import pytest
import torch
from small_vocoders import CONFIGS

from tts_diffvoc.diffusion.schedules import linear_schedule, published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.vocoder import Vocoder, VocoderConfig


def test_mel_and_waveform_shapes(vocoder, speech):
    mel = vocoder.mel(speech[0])
    assert mel.shape == (1, 80, 87)
    waveform = vocoder.generate(mel, steps=2, seed=0)
    assert waveform.shape == (1, 87 * 256)
    assert waveform.dtype == torch.float32 and waveform.abs().max() <= 1


def test_a_batch_of_one_frame(vocoder):
    assert vocoder.generate(torch.zeros(2, 80, 1), steps=1, seed=0).shape == (2, 256)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm_solver_pp_2m", "langevin"])
def test_the_same_seed_gives_the_same_samples(vocoder, speech, sampler):
    mel = vocoder.mel(speech)[..., :20]
    one, again, other = (vocoder.generate(mel, steps=2, sampler=sampler, seed=s) for s in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_without_a_seed_samples_differ(vocoder, speech):
    mel = vocoder.mel(speech)[..., :20]
    assert not torch.equal(vocoder.generate(mel, steps=2), vocoder.generate(mel, steps=2))


def test_callback_sees_each_step(vocoder):
    steps = []
    vocoder.generate(torch.zeros(1, 80, 4), steps=3, seed=0, callback=lambda step, x, x0: steps.append(step))
    assert steps == [0, 1, 2]


def test_training_lowers_the_loss(vocoder, speech):
    waveform, mel = speech[:, : 20 * 256], vocoder.mel(speech)[..., :20]
    optimizer = torch.optim.Adam(vocoder.network.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        loss = vocoder.loss(waveform, mel, seeds=[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


def test_tuned_schedules_serve_their_number_of_steps():
    vocoder = Vocoder(CONFIGS["diffwave"])
    assert vocoder.inference_schedule(6) == published_schedule("diffwave-fast-6")
    assert vocoder.inference_schedule(50) == published_schedule("diffwave-50")
    assert vocoder.inference_schedule(12).num_steps == 12


@pytest.mark.parametrize(
    "options, says",
    [
        ({"steps": 0}, "from 1 to"),
        ({"steps": -3}, "from 1 to"),
        ({"steps": 51}, "at most 50"),
        ({"steps": "six"}, "whole number"),
        ({"seed": -1}, "seed"),
        ({"sampler": "euler"}, "ddpm"),
    ],
)
def test_bad_options_are_refused(diffwave, options, says):
    with pytest.raises(DiffvocError, match=says):
        diffwave.generate(torch.zeros(1, 80, 3), **options)


@pytest.mark.parametrize("kind", CONFIGS)
def test_configurations_survive_json(kind):
    config = CONFIGS[kind]
    again = VocoderConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again.to_dict() == config.to_dict()
    assert again.sizes == config.sizes and again.mel == config.mel


@pytest.mark.parametrize(
    "change, says",
    [
        ({"network": "wavenet"}, "wavenet"),
        ({"sizes": DiffWaveConfig(n_mels=100)}, "100 bands"),
        ({"sizes": DiffWaveConfig(upsample_factors=(16, 15))}, "240 positions"),
        ({"mel": MelConfig(hop_length=300)}, "300"),
        ({"schedule": linear_schedule(1e-6, 1e-3, 50)}, "far from pure noise"),
        ({"sizes": DiffWaveConfig(in_channels=2)}, "2 channels"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, says):
    values = {"network": "diffwave", "sizes": DiffWaveConfig(), "schedule": published_schedule("diffwave-50")}
    with pytest.raises(DiffvocError, match=says):
        VocoderConfig(**{**values, **change})


def test_a_rows_loss_does_not_depend_on_its_batch(vocoder, speech):
    waveform = speech[:, : 3 * 20 * 256].reshape(3, -1)
    mel = vocoder.mel(waveform)[..., :20]
    together = vocoder.loss(waveform, mel, seeds=[5, 2**62 - 1, 7])
    rows = [vocoder.loss(waveform[i : i + 1], mel[i : i + 1], seeds=[s]) for i, s in enumerate((5, 2**62 - 1, 7))]
    assert len({row.item() for row in rows}) == 3
    assert together.item() == pytest.approx(sum(rows).item() / 3, rel=1e-5)
    backwards = vocoder.loss(waveform.flip(0), mel.flip(0), seeds=[7, 2**62 - 1, 5])
    assert backwards.item() == pytest.approx(together.item(), rel=1e-5)


def test_seeds_are_one_a_row(vocoder, speech):
    mel = vocoder.mel(speech)[..., :86]
    assert vocoder.loss(speech, mel, seeds=[1]) == vocoder.loss(speech, mel, seeds=[1])
    with pytest.raises(DiffvocError, match="2 seeds were given for a batch of 1"):
        vocoder.loss(speech, mel, seeds=[1, 2])


def test_a_waveform_of_another_length_than_its_mel_is_refused(vocoder):
    with pytest.raises(DiffvocError, match="500 samples were given for a mel of 512; they must be equal"):
        vocoder.loss(torch.zeros(1, 500), torch.zeros(1, 80, 2), seeds=[1])

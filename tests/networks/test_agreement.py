"""Our networks against the public packages' own, with random weights: same weights, same noise, same output."""

from types import SimpleNamespace

import pytest
import torch

from tts_diffvoc.diffusion.process import denoiser_from
from tts_diffvoc.diffusion.samplers import ddpm, sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.networks import diffwave, wavegrad
from tts_diffvoc_eval.bench import sample_public

public_diffwave = pytest.importorskip("diffwave.model")
public_wavegrad = pytest.importorskip("wavegrad.model")


def randomise(network, scale=0.08):
    """Every weight random, the output layer that starts at zero too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, scale)
    return network.eval()


def diffwave_pair(config, name="diffwave-50"):
    schedule = published_schedule(name)
    public = public_diffwave.DiffWave(
        SimpleNamespace(
            residual_channels=config.residual_channels,
            residual_layers=config.residual_layers,
            dilation_cycle_length=config.dilation_cycle,
            n_mels=80,
            noise_schedule=list(schedule.betas),
        )
    )
    ours = diffwave.DiffWave(config, schedule).eval()
    ours.load_state_dict(randomise(public).state_dict(), strict=True)
    return public, ours


def wavegrad_pair():
    public = randomise(public_wavegrad.WaveGrad(SimpleNamespace(n_mels=128)), 0.03)
    ours = wavegrad.WaveGrad(wavegrad.BASE).eval()
    ours.load_state_dict(public.state_dict(), strict=True)
    return public, ours


@pytest.mark.parametrize("fast", [False, True], ids=["50 steps", "6 steps"])
@torch.inference_mode()
def test_whole_diffwave_sampling_agrees(fast):
    public, ours = diffwave_pair(diffwave.DiffWaveConfig(residual_channels=8, residual_layers=10))
    inference = published_schedule("diffwave-fast-6") if fast else ours.schedule
    mel, noises = torch.randn(1, 80, 5), torch.randn(inference.num_steps, 1, 5 * 256)
    theirs = sample_public(
        lambda x, step, level: public(x, mel, torch.tensor([step], dtype=torch.float32)).squeeze(1),
        noises, ours.schedule.betas, inference.betas, clip=None,
    )  # fmt: skip
    conditioning = ours.condition(mel)
    first, *rest = noises
    mine = sample(ddpm, denoiser_from(lambda x, level: ours(x, level, conditioning)), first, inference,
                  generator=lambda: rest.pop(0))  # fmt: skip
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_whole_wavegrad_sampling_agrees():
    public, ours = wavegrad_pair()
    schedule = NoiseSchedule((1e-4, 1e-3, 1e-2, 0.1, 0.5))
    mel, noises = torch.randn(1, 128, 4), torch.randn(5, 1, 4 * 300)
    theirs = sample_public(
        lambda x, step, level: public(x, mel, torch.tensor([level])).squeeze(1), noises, schedule.betas,
        schedule.betas, clip=None,
    )  # fmt: skip
    conditioning = ours.condition(mel)
    first, *rest = noises
    mine = sample(ddpm, denoiser_from(lambda x, level: ours(x, level, conditioning)), first, schedule,
                  generator=lambda: rest.pop(0))  # fmt: skip
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)

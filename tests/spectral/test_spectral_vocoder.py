"""The spectral vocoders whole: shapes, seeds, rows, learning, folders, and mels that are no speech."""

import json

import pytest
import torch

from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.transform import magnitude, project, rescale
from tts_diffvoc.spectral.vocoder import LIMIT, SCALE, SpectralConfig, SpectralVocoder

SMALL = {"pitch": PitchConfig(8, 1), "magnitude": MagnitudeConfig(8, 1)}
CONFIGS = {
    "diffwave": SpectralConfig("diffwave", DiffWaveSizes(16, 2, 2), **SMALL, defaults={"steps": 2}),
    "wavegrad": SpectralConfig("wavegrad", WaveGradSizes(16, (2, 1)), **SMALL),
}


def build(kind: str, trained: bool = True) -> SpectralVocoder:
    """A small vocoder; ``trained`` gives its output layers something to say."""
    torch.manual_seed(0)
    vocoder = SpectralVocoder(CONFIGS[kind]).eval()
    if trained:
        torch.nn.init.normal_(vocoder.denoiser.output.weight, std=0.02)
        torch.nn.init.normal_(vocoder.magnitude.last.weight, std=0.02)
    return vocoder


@pytest.fixture(params=CONFIGS)
def spectral(request) -> SpectralVocoder:
    return build(request.param)


def mel_of(speech: torch.Tensor, frames: int = 40) -> torch.Tensor:
    return log_mel(speech, MelConfig())[..., :frames]


def test_an_untrained_vocoder_is_griffin_lim_from_the_prior(speech):
    vocoder, mel = build("diffwave", trained=False), mel_of(speech)
    states = []
    vocoder.generate(mel, steps=1, seed=0, callback=lambda step, z, x0: states.append((z, x0)))
    noise = FrameNoise([0])(0, 0, 40, 256).flatten(1)
    wanted = vocoder.conditions(mel, vocoder.excitation(vocoder.pitch(mel), noise)).magnitude.detach()
    z, x0 = states[0]
    step = project(z, wanted, vocoder.transform)
    near = (magnitude(step) < LIMIT * wanted).unsqueeze(2).expand_as(step)
    assert near.float().mean() > 0.9
    assert torch.allclose((x0 * wanted.unsqueeze(2) / SCALE)[near], step[near], atol=1e-3)
    assert not torch.allclose(z * wanted.unsqueeze(2) / SCALE, step, atol=1e-3)


def test_a_stream_in_one_chunk_is_the_whole(spectral, speech):
    mel = mel_of(speech)
    (made,) = spectral.stream(mel.split(13, 2), 40, seed=2)
    assert torch.equal(made, spectral.generate(mel, seed=2))


def test_chunks_join_to_what_is_made_at_once(spectral, speech):
    mel = mel_of(speech.repeat(1, 4), 300)
    whole = spectral.generate(mel, seed=2, consistency=1)
    chunks = list(spectral.stream(mel.split(50, 2), 40, seed=2, consistency=1))
    assert [chunk.shape[1] for chunk in chunks] == [40 * 256] * 7 + [20 * 256]
    difference = (torch.cat(chunks, 1) - whole).square().mean() / whole.square().mean()
    assert difference < 0.01


def test_long_mels_are_made_in_chunks_and_alike(spectral, speech, monkeypatch):
    mel = mel_of(speech.repeat(1, 4), 300)
    whole = spectral.generate(mel, seed=2)
    monkeypatch.setattr("tts_diffvoc.base.LONGEST", 1.0)
    parts = spectral.generate(mel, seed=2)
    assert parts.shape == whole.shape and not torch.equal(parts, whole)
    assert (parts - whole).square().mean() < 0.01 * whole.square().mean()


def test_steps_and_consistency_do_something(spectral, speech):
    mel = mel_of(speech)
    one, three, consistent = (
        spectral.generate(mel, seed=0, **o)
        for o in ({"steps": 1, "consistency": 0}, {"steps": 3}, {"steps": 1, "consistency": 4})
    )
    assert not torch.allclose(one, three, atol=1e-3)
    errors = [(log_mel(wave, MelConfig())[..., :40] - mel).abs().mean() for wave in (one, consistent)]
    assert errors[1] < 0.7 * errors[0]


def test_no_steps_are_the_prior_alone(speech):
    vocoder, mel = build("diffwave"), mel_of(speech)
    noise = FrameNoise([0])(0, 0, 40, 256).flatten(1)
    with torch.inference_mode():
        conditions = vocoder.conditions(mel, vocoder.excitation(vocoder.pitch(mel), noise))
        expected = vocoder.transform.inverse(rescale(conditions.source.phases, conditions.magnitude))
    assert torch.allclose(vocoder.generate(mel, steps=0, consistency=0, seed=0), expected, atol=1e-5)


def test_qualities_are_names_for_steps_and_consistency(speech, tmp_path):
    vocoder, mel = build("diffwave"), mel_of(speech, 12)
    save_checkpoint(vocoder, tmp_path, "card", torch.float32)
    settings = {"fast": (2, 0), "default": (2, 0), "best": (16, 0)}  # this configuration's default has two steps
    for quality, (steps, consistency) in settings.items():
        expected = vocoder.generate(mel, steps=steps, consistency=consistency, seed=0)
        assert torch.equal(vocoder.generate(mel, quality=quality, seed=0), expected)
        assert torch.equal(load_vocoder(f"{tmp_path}?quality={quality}").generate(mel, seed=0), expected)
    expected = vocoder.generate(mel, steps=3, consistency=0, seed=0)
    assert torch.equal(vocoder.generate(mel, steps=3, quality="best", seed=0), expected)
    assert torch.equal(load_vocoder(f"{tmp_path}?quality=best&steps=3").generate(mel, seed=0), expected)
    with pytest.raises(DiffvocError, match="quality=superb is unknown .* fast, default, best"):
        load_vocoder(f"{tmp_path}?quality=superb")


def test_training_lowers_the_loss_and_leaves_pitch_and_magnitudes(spectral, speech):
    waveform, source = (x for x in spectral.targets(speech[:, : 32 * 256].repeat(2, 1), seed=0, iterations=4))
    bandwidth = torch.tensor([8000.0, 11025.0])
    batch = {"waveform": waveform, "recording": waveform, "source": source, "bandwidth": bandwidth}
    before = {name: value.clone() for name, value in spectral.state_dict().items()}
    optimizer = torch.optim.Adam(spectral.denoiser.parameters(), lr=3e-3)
    losses = []
    for step in range(16):
        loss = spectral.loss(batch, torch.Generator().manual_seed(step % 2))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.85 * sum(losses[:2])
    changed = {
        name.split(".")[0] for name, value in spectral.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"denoiser"}


def test_a_loss_is_the_generators_alone(spectral, speech):
    batch = dict.fromkeys(("waveform", "recording", "source"), speech[:, : 20 * 256])
    batch["bandwidth"] = torch.tensor([8000.0])
    one, again, other = (spectral.loss(batch, torch.Generator().manual_seed(seed))["loss"] for seed in (1, 1, 2))
    assert one == again != other


def test_folders_of_both_kinds_load(spectral, speech, tmp_path, vocoder):
    save_checkpoint(spectral, tmp_path / "new", "card", torch.float32)
    save_checkpoint(vocoder, tmp_path / "old", "card")
    again = load_vocoder(f"{tmp_path}/new?steps=1")
    assert isinstance(again, SpectralVocoder) and again.config == spectral.config
    assert torch.equal(again.generate(mel_of(speech), seed=0), spectral.generate(mel_of(speech), seed=0, steps=1))
    assert not isinstance(load_vocoder(tmp_path / "old"), SpectralVocoder)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"steps": -1}, "from 0 to"),
        ({"quality": "superb"}, "quality=superb is unknown to vocoder; choose one of fast, default, best."),
        ({"steps": "six"}, "whole number"),
        ({"seed": -1}, "seed"),
        ({"consistency": -1}, "0"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(DiffvocError, match=says):
        build("diffwave").generate(torch.zeros(1, 80, 3), **options)


def test_unknown_options_in_a_name_are_refused(tmp_path):
    save_checkpoint(build("diffwave"), tmp_path, "card")
    with pytest.raises(
        DiffvocError, match="unknown option 'sampler'; the options are steps, seed, consistency, quality"
    ):
        load_vocoder(f"{tmp_path}?sampler=ddim")


@pytest.mark.parametrize("kind", CONFIGS)
def test_configurations_survive_json(kind):
    config = CONFIGS[kind]
    assert SpectralConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "change, says",
    [
        ({"network": "wavegrad"}, "does not go with"),
        ({"mel": MelConfig(power=2)}, "power 2"),
        ({"mel": MelConfig(win_length=800)}, "win_length 800"),
        ({"qualities": {"fast": {"steps": 1}}}, "need a default"),
        ({"qualities": {"default": {"sampler": 1}}}, "steps and consistency"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, says):
    with pytest.raises(DiffvocError, match=says):
        SpectralConfig(**{"network": "diffwave", "sizes": DiffWaveSizes(), **change})


def test_a_configuration_that_names_its_block_is_read():
    values = CONFIGS["diffwave"].to_dict()
    values["sizes"]["block"] = "convnext"
    assert SpectralConfig.from_dict(values) == CONFIGS["diffwave"]
    values["sizes"]["block"] = "gated"
    with pytest.raises(DiffvocError, match="sizes.block|'block'"):
        SpectralConfig.from_dict(values)


@pytest.mark.parametrize(
    "change, says", [({"sizes": {"width": 3}}, "width"), ({"start": 1}, "start"), ({"network": 1}, "unknown")]
)
def test_unknown_entries_are_named(change, says):
    with pytest.raises(DiffvocError, match=says):
        SpectralConfig.from_dict({**CONFIGS["diffwave"].to_dict(), **change})

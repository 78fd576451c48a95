"""The baselines of unconditional generation, WaveGAN and WaveNet: networks, losses, generation, folders."""

import json
import math

import pytest
import torch
from torchaudio.functional import mu_law_encoding

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation import systems, unconditional_model, wavegan, wavenet
from tts_diffvoc_eval.generation.training import Batch

SMALL_GAN = wavegan.WaveGanConfig(length=1024, width=4, latent=10)
SMALL_NET = wavenet.WaveNetConfig(length=64, channels=6, skip=10, cycle=3, cycles=2)


def make(kind, seed=0):
    """A small model; a WaveNet with every weight random, so that no path is silent."""
    torch.manual_seed(seed)
    if kind == "wavegan":
        return wavegan.WaveGan(SMALL_GAN)
    model = wavenet.WaveNet(SMALL_NET)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def count(model):
    return sum(p.numel() for p in model.parameters())


def shifted(classes):
    """Of each sample the class before it."""
    return torch.cat([torch.full_like(classes[:, :1], wavenet.SILENCE), classes[:, :-1]], dim=1)


# WaveGAN


def test_wavegan_has_the_layers_of_the_paper():
    """Tables 3 and 4 with d = 64 and one channel."""
    config = wavegan.WaveGanConfig(length=16384, width=64)
    inwards = [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    critic = count(wavegan.Critic(config))
    assert count(wavegan.WaveGan(config)) == 101 * 256 * 64 + sum(25 * a * b + a for a, b in inwards)
    assert critic == sum(25 * a * b + b for a, b in inwards) + 256 * 64 + 1


def test_wavegan_starts_neither_silent_nor_saturated():
    torch.manual_seed(0)
    clips = wavegan.WaveGan(wavegan.WaveGanConfig(width=4)).generate(3, 0)
    assert clips.shape == (3, 8192) and 0.005 < clips.std() < 0.5 and clips.abs().max() < 0.99
    scores = wavegan.Critic(wavegan.WaveGanConfig(width=4))(torch.randn(16, 8192) * 0.3)
    assert scores.shape == (16,) and 0.01 < scores.abs().mean() < 1


def test_phase_shuffle_moves_each_clip_and_reflects():
    x = torch.arange(6.0).expand(5, 3, 6) + 10 * torch.arange(3.0).view(3, 1)
    moved = wavegan.phase_shuffle(x, torch.tensor([-2, -1, 0, 1, 2]))
    expected = [[2, 3, 4, 5, 4, 3], [1, 2, 3, 4, 5, 4], [0, 1, 2, 3, 4, 5], [1, 0, 1, 2, 3, 4], [2, 1, 0, 1, 2, 3]]
    assert torch.equal(moved[:, 0], torch.tensor(expected, dtype=torch.float32))
    assert torch.equal(moved[:, 2] - moved[:, 0], torch.full((5, 6), 20.0))
    drawn = wavegan.phase_shuffle(torch.arange(20.0).expand(300, 1, 20))[:, 0, 10]
    assert drawn.unique().tolist() == [8, 9, 10, 11, 12]


def test_gradient_penalty_of_a_linear_and_of_a_quadratic_critic():
    """Their gradients are the weight, and the point itself."""
    torch.manual_seed(0)
    real, fake, mix = torch.randn(4, 50), torch.randn(4, 50), torch.rand(4)
    weight = torch.zeros(50)
    weight[:2] = torch.tensor([3.0, 4.0])
    assert wavegan.gradient_penalty(lambda x: x @ weight, real, fake, mix).item() == pytest.approx((5 - 1) ** 2)
    points = mix[:, None] * real + (1 - mix[:, None]) * fake
    found = wavegan.gradient_penalty(lambda x: x.square().sum(1) / 2, real, fake, mix)
    assert torch.allclose(found, (points.norm(dim=1) - 1).square().mean(), rtol=1e-5)


def test_a_generator_follows_its_critic():
    """Clips that all lie at 0.4: the generator's mean goes there, and the critic's penalty keeps its gradient at 1."""
    torch.manual_seed(0)
    training = wavegan.WaveGanTraining(wavegan.WaveGan(SMALL_GAN), critic_steps=2)
    optimisers = {name: torch.optim.Adam(part, 2e-3, betas=(0.5, 0.9)) for name, part in training.parts().items()}
    means = []
    for seed in range(50):
        means.append(float(training.model.generate(16, 0).mean()))
        clips = 0.4 + 0.02 * torch.randn(8, 1024)
        parts = []
        for name, losses in training.losses(Batch(clips, torch.zeros(8), seed)):
            optimisers[name].zero_grad()
            losses["loss"].backward()
            optimisers[name].step()
            parts.append(name)
        assert parts == ["critic", "critic", "generator"]
    assert abs(means[0]) < 0.1 and 0.25 < sum(means[25:]) / 25 < 0.6


# WaveNet


def test_wavenet_sees_its_receptive_field_and_nothing_later():
    model = make("wavenet")
    receptive_field = 2 + 2 * (1 + 2 + 4)
    classes = torch.randint(0, 256, (1, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        usual = model(shifted(classes))
        for changed in (5, 30):
            other = classes.clone()
            other[0, changed] = (other[0, changed] + 100) % 256
            differs = ((model(shifted(other)) - usual).abs().amax(2)[0] > 1e-7).nonzero()[:, 0].tolist()
            assert differs[0] == changed + 1 and differs[-1] == changed + receptive_field


def test_wavenet_has_the_parameters_of_its_layers():
    c, s = 128, 256
    layer = 2 * c * 2 * c + 2 * c + c * (c + s) + c + s
    config = wavenet.WaveNetConfig()
    expected = 2 * 256 * c + 30 * layer + s * s + s + s * 256 + 256
    assert count(wavenet.WaveNet(config)) == expected and config.dilations == [2**i for i in range(10)] * 3


def test_an_untrained_wavenet_costs_eight_bits():
    assert torch.allclose(wavenet.WaveNet(SMALL_NET).bits(torch.rand(2, 64) * 2 - 1), torch.tensor(8.0))


@pytest.mark.parametrize("batch", [1, 3])
def test_cached_steps_are_the_network(batch):
    """More samples than the longest ring holds, after a silent start, and of every class."""
    model = make("wavenet")
    classes = torch.randint(0, 256, (batch, 64), generator=torch.Generator().manual_seed(1))
    classes[:, :6] = wavenet.SILENCE
    with torch.inference_mode():
        whole = model(shifted(classes))
        delays = [wavenet.DelayLine(steps) for steps in (1, *SMALL_NET.dilations)]
        steps = [model(column, delays) for column in shifted(classes).unbind(1)]
    assert whole.std() > 0.1
    torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=1e-5, atol=1e-5)


def test_generation_draws_from_the_network():
    """Every sample is what the uncached network gives for those before it and the same random number."""
    model = make("wavenet")
    latent = model.draw(2, torch.Generator().manual_seed(5))
    classes = mu_law_encoding(model.generate(2, seed=5), wavenet.CLASSES)
    with torch.inference_mode():
        cumulated = model(shifted(classes)).softmax(2).cumsum(2)
    lower = torch.cat([torch.zeros(2, 64, 1), cumulated], 2).gather(2, classes.unsqueeze(2))[..., 0]
    upper = cumulated.gather(2, classes.unsqueeze(2))[..., 0]
    assert (lower <= latent + 1e-5).all() and (latent <= upper + 1e-5).all()
    assert len(classes.unique()) > 20


# Both


@pytest.mark.parametrize("kind", ["wavegan", "wavenet"])
def test_clips_depend_on_the_seed_alone(kind):
    model = make(kind)
    clips = model.generate(5, seed=3)
    assert clips.shape == (5, model.config.length) and clips.abs().max() <= 1
    torch.testing.assert_close(model.generate(5, seed=3, batch=2), clips)
    assert not torch.allclose(model.generate(5, seed=4), clips)


@pytest.mark.parametrize("kind", ["wavegan", "wavenet"])
def test_a_saved_model_is_loaded_as_it_was(kind, tmp_path):
    model = make(kind)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    model.save(tmp_path / "one", "3 minutes", "tones")
    loaded = systems.load_baseline(tmp_path / "one")
    assert torch.equal(loaded.generate(2, 7), model.generate(2, 7))
    assert (loaded.config, loaded.label, loaded.training_said) == (model.config, model.label, "3 minutes")
    card = (tmp_path / "one" / "README.md").read_text()
    assert "tones" in card and "3 minutes" in card and f"{count(model):,}" in card


def broken(folder, **changes):
    """A saved WaveGAN with other values in its config.json."""
    make("wavegan").save(folder, "", "")
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda _: wavegan.WaveGanConfig.from_dict({"width": 0}), "width"),
        (lambda _: wavenet.WaveNetConfig.from_dict({"cycles": 1.5}), "cycles"),
        (lambda path: systems.load_baseline(path / "nowhere"), "there is no folder"),
        (lambda path: systems.load_baseline(broken(path, format="other")), "not the folder of a WaveGAN"),
        (lambda path: systems.load_baseline(broken(path, kind="vae")), "does not describe"),
        (lambda path: systems.load_baseline(broken(path, network={"depth": 3})), "unknown entry 'depth'"),
        (lambda path: systems.load_baseline(broken(path, network={"length": 1024, "width": 5})), "does not belong"),
    ],
)
def test_what_is_refused(call, message, tmp_path):
    with pytest.raises(DiffvocError, match=message):
        call(tmp_path)


def test_folders_of_the_first_edition_are_read(tmp_path):
    """The names of the weights are part of the format."""
    names = {name.split(".")[0] for name in make("wavenet").state_dict()}
    assert names == {"latest", "second", "layers", "mixed", "logits"}
    assert {name.split(".")[0] for name in make("wavegan").state_dict()} == {"dense", "layers"}
    assert unconditional_model.FORMAT == "diffvoc-seed/1" and math.isfinite(make("wavegan").generate(1, 0).sum())

"""The rivals of unconditional generation, WaveGAN and WaveNet: networks, losses, generation, folders, training."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.functional import cross_entropy

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation import rivals, wavegan, wavenet
from tts_diffvoc_eval.generation.corpus import Corpus, Digits

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes" / "fsdd"))

import train_seeds
from train_seeds import Plan

SMALL_GAN = wavegan.WaveGanConfig(length=1024, width=4, latent=10)
SMALL_NET = wavenet.WaveNetConfig(length=64, channels=6, skip=10, cycle=3, cycles=2)
PLANS = {
    "wavegan": Plan({"width": 2}, batch=2, rate=1e-3, critic_steps=2, average=0.9),
    "wavenet": Plan({"channels": 4, "skip": 6, "cycle": 3, "cycles": 1}, batch=2, rate=1e-2, falls=True),
}


def random_net(config=SMALL_NET, seed=0):
    """A WaveNet with every weight random, so that no path is silent."""
    torch.manual_seed(seed)
    model = wavenet.WaveNet(config)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def make(kind, seed=0):
    torch.manual_seed(seed)
    return wavegan.WaveGan(SMALL_GAN) if kind == "wavegan" else random_net()


def shifted(classes):
    """Of each sample the class before it."""
    return torch.cat([torch.full_like(classes[:, :1], wavenet.SILENCE), classes[:, :-1]], dim=1)


def count(network):
    return sum(p.numel() for p in network.parameters())


# WaveGAN's networks


@pytest.mark.parametrize("length, width", [(8192, 4), (16384, 3)])
def test_wavegan_gives_clips_and_scores(length, width):
    config = wavegan.WaveGanConfig(length=length, width=width)
    model = wavegan.WaveGan(config)
    clips = model.generate(3, seed=1)
    assert clips.shape == (3, length) and clips.dtype == torch.float32 and clips.abs().max() <= 1
    assert clips.std(1).min() > 0 and not torch.equal(clips[0], clips[1])
    assert wavegan.Critic(config)(clips).shape == (3,)


def test_wavegan_has_the_layers_of_the_paper():
    """Tables 3 and 4 with d = 64 and one channel: kernel, channels in and out, numbers with their biases."""
    config = wavegan.WaveGanConfig(length=16384, width=64)
    inwards = [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    generator, critic = wavegan.Generator(config), wavegan.Critic(config)
    assert count(generator) == 101 * 256 * 64 + sum(25 * a * b + a for a, b in inwards) == 19_065_345
    assert count(critic) == sum(25 * a * b + b for a, b in inwards) + 256 * 64 + 1 == 17_427_969
    assert generator.positions == 16 and wavegan.WaveGanConfig(width=64).positions == 8


def test_wavegan_begins_neither_silent_nor_saturated():
    torch.manual_seed(0)
    model = wavegan.WaveGan(wavegan.WaveGanConfig(width=16))
    clips = model.generate(4, 0)
    assert 0.005 < clips.std() < 0.5 and clips.abs().max() < 0.99
    scores = wavegan.Critic(model.config)(torch.randn(16, 8192) * 0.3)
    assert 0.01 < scores.abs().mean() < 1


def test_phase_shuffle_moves_each_clip_and_reflects():
    x = torch.arange(6.0).expand(5, 3, 6) + 10 * torch.arange(3.0).view(3, 1)
    moved = wavegan.phase_shuffle(x, 2, torch.tensor([-2, -1, 0, 1, 2]))
    expected = [[2, 3, 4, 5, 4, 3], [1, 2, 3, 4, 5, 4], [0, 1, 2, 3, 4, 5], [1, 0, 1, 2, 3, 4], [2, 1, 0, 1, 2, 3]]
    assert torch.equal(moved[:, 0], torch.tensor(expected, dtype=torch.float32))
    assert torch.equal(moved[:, 2] - moved[:, 0], torch.full((5, 6), 20.0))
    assert wavegan.phase_shuffle(x, 0) is x


def test_phase_shuffle_draws_every_shift_and_no_other():
    torch.manual_seed(0)
    x = torch.arange(20.0).expand(300, 1, 20)
    middles = wavegan.phase_shuffle(x)[:, 0, 10].tolist()
    assert sorted(set(middles)) == [8, 9, 10, 11, 12]


def test_only_the_last_layer_is_not_shuffled(monkeypatch):
    seen = []
    monkeypatch.setattr(wavegan, "phase_shuffle", lambda x: seen.append(x.shape[1:]) or x)
    wavegan.Critic(SMALL_GAN)(torch.zeros(1, 1024))
    assert seen == [(4, 256), (8, 64), (16, 16), (32, 4)]


# WaveGAN's loss


def test_gradient_penalty_of_a_linear_critic():
    """Its gradient is its weight everywhere; that of |x|^2 / 2 is the point itself."""
    torch.manual_seed(0)
    real, fake, mix = torch.randn(4, 50), torch.randn(4, 50), torch.rand(4)
    weight = torch.zeros(50)
    weight[:2] = torch.tensor([3.0, 4.0])
    weight.requires_grad_()
    penalty = wavegan.gradient_penalty(lambda x: x @ weight, real, fake, mix)
    assert math.isclose(penalty.item(), (5 - 1) ** 2, rel_tol=1e-6)
    penalty.backward()
    assert torch.allclose(weight.grad[:2], 2 * (5 - 1) * torch.tensor([0.6, 0.8]), rtol=1e-5)
    points = mix[:, None] * real + (1 - mix[:, None]) * fake
    found = wavegan.gradient_penalty(lambda x: x.square().sum(1) / 2, real, fake, mix)
    assert torch.allclose(found, (points.norm(dim=1) - 1).square().mean(), rtol=1e-5)


def test_critic_losses_of_a_linear_critic():
    real, fake = torch.full((6, 4), 2.0), torch.full((6, 4), 0.5)
    distance, penalty = wavegan.critic_losses(lambda x: x @ torch.full((4,), 1.5), real, fake)
    assert math.isclose(float(distance), 4 * 1.5 * 1.5, rel_tol=1e-6)
    assert math.isclose(float(penalty), 10 * (3 - 1) ** 2, rel_tol=1e-6)


def test_a_critic_learns_to_tell_clips_apart():
    """The estimate grows from about nothing to a good share of the distance between two points."""
    torch.manual_seed(0)
    critic = wavegan.Critic(SMALL_GAN)
    tone = 0.3 * torch.sin(torch.arange(1024) * 0.3).expand(4, -1)
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.5, 0.9))
    distances, losses = [], []
    for _ in range(25):
        distance, penalty = wavegan.critic_losses(critic, tone, torch.zeros_like(tone))
        optimiser.zero_grad()
        (penalty - distance).backward()
        optimiser.step()
        distances.append(float(distance.detach()))
        losses.append(float(penalty.detach()) - distances[-1])
    far = float(tone[0].norm())
    assert abs(distances[0]) < 0.1 * far < 0.25 * far < min(distances[-5:])
    assert max(losses[-5:]) < min(losses[:3]) - 1


def test_a_generator_follows_its_critic():
    """Clips that all lie at 0.4: the generator's mean goes there."""
    torch.manual_seed(0)
    plan = Plan({"width": 4}, batch=4, rate=2e-3, critic_steps=2)
    learner = train_seeds.WaveGanLearner(wavegan.WaveGan(SMALL_GAN), plan, torch.device("cpu"))
    clips = 0.4 + 0.02 * torch.randn(8, 1024)
    means = []
    for number in range(50):
        means.append(float(learner.model.generate(16, 0).mean()))
        learner.step(clips, number, 0.0)
    assert abs(means[0]) < 0.1 and 0.25 < sum(means[25:]) / 25 < 0.6


# WaveNet's network


def test_mulaw_has_256_levels_and_keeps_silence():
    classes = torch.arange(256)
    assert torch.equal(wavenet.quantise(wavenet.expand(classes)), classes)
    assert wavenet.quantise(torch.zeros(1)).item() == wavenet.SILENCE and wavenet.expand(torch.tensor(128)) == 0
    assert wavenet.quantise(torch.tensor([-1.0, 1.0])).tolist() == [0, 255]
    waveform = torch.linspace(-0.95, 0.95, 1001)
    error = (wavenet.expand(wavenet.quantise(waveform)) - waveform).abs()
    assert (error <= (waveform.abs() + 1 / 255) * math.log(256) / 256 * 1.05).all()  # half a step, steeper where loud


def test_wavenet_hears_its_reach_and_nothing_later():
    model = random_net()
    reach = SMALL_NET.reach
    assert reach == 2 + 2 * (1 + 2 + 4)
    classes = torch.randint(0, 256, (1, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        usual = model.network(shifted(classes))
        for changed in (5, 30):
            other = classes.clone()
            other[0, changed] = (other[0, changed] + 100) % 256
            differs = (model.network(shifted(other)) - usual).abs().amax(2)[0] > 1e-7
            heard = differs.nonzero()[:, 0].tolist()
            assert heard[0] == changed + 1 and heard[-1] == changed + reach


def test_wavenet_has_the_numbers_of_its_layers():
    c, s = 128, 256
    layer = 2 * c * 2 * c + 2 * c + c * (c + s) + c + s
    expected = 2 * 256 * c + 30 * layer + s * s + s + s * 256 + 256
    config = wavenet.WaveNetConfig()
    assert wavenet.WaveNet(config).parameters == expected and config.dilations == [2**i for i in range(10)] * 3


def test_an_untrained_wavenet_costs_eight_bits():
    network = wavenet.WaveNet(SMALL_NET).network
    assert torch.allclose(wavenet.surprise(network, torch.randint(0, 256, (2, 64))), torch.tensor(8.0))


@pytest.mark.parametrize("batch", [1, 3])
def test_cached_steps_are_the_network(batch):
    """Twice as many samples as the longest ring holds, after a silent beginning, and of every class."""
    model = random_net()
    classes = torch.randint(0, 256, (batch, 64), generator=torch.Generator().manual_seed(1))
    classes[:, :6] = wavenet.SILENCE
    with torch.inference_mode():
        whole = model.network(shifted(classes))
        stepper = wavenet.Stepper(model.network, batch)
        steps = [stepper.step(column).clone() for column in shifted(classes).unbind(1)]
    assert whole.std() > 0.1
    torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=1e-5, atol=1e-5)


def test_generation_draws_from_the_network():
    """Every sample is what the uncached network gives for those before it and the same random number."""
    model = random_net()
    latent = model.draw(2, torch.Generator().manual_seed(5))
    clips = model.generate(2, seed=5)
    classes = wavenet.quantise(clips)
    with torch.inference_mode():
        reached = model.network(shifted(classes)).softmax(2).cumsum(2)
    lower = torch.cat([torch.zeros(2, 64, 1), reached], 2).gather(2, classes.unsqueeze(2))[..., 0]
    upper = reached.gather(2, classes.unsqueeze(2))[..., 0]
    assert (lower <= latent + 1e-5).all() and (latent <= upper + 1e-5).all()
    assert len(classes.unique()) > 20


# WaveNet's likelihood


def clips_with_silence():
    """Sound in the middle, at the beginning, at the end, none, in two places, one sample, everywhere."""
    classes = torch.full((7, 64), wavenet.SILENCE)
    sound = torch.randint(0, 256, (64,), generator=torch.Generator().manual_seed(2))
    sound[sound == wavenet.SILENCE] = 7
    for row, places in enumerate([(20, 30), (0, 9), (60, 64), (0, 0), (2, 5), (40, 41), (0, 64)]):
        classes[row, slice(*places)] = sound[slice(*places)]
    classes[4, 50:52] = 3
    return classes


def test_windows_leave_nothing_out():
    """The cost of clips is that of all their samples, one by one."""
    network, classes = random_net().network, clips_with_silence()
    with torch.no_grad():
        nats = cross_entropy(network(shifted(classes)).flatten(0, 1), classes.flatten(), reduction="none")
        found = wavenet.surprise(network, classes)
    torch.testing.assert_close(found, nats.view(7, 64).mean(1) / math.log(2))
    assert found.std() > 0.05


def test_windows_are_shorter_and_stand_for_every_sample():
    seen = wavenet.windows(clips_with_silence(), SMALL_NET.reach)
    assert torch.equal(seen.weights.sum(1), torch.full((7,), 64.0))
    columns = (seen.weights > 0).sum(1).tolist()
    assert columns == [11 + SMALL_NET.reach, 64, 5, 1, 63, 2 + SMALL_NET.reach, 64]


def test_wavenet_learns_a_periodic_signal():
    """Two clips of a tone of 16 samples a period: all but the first few samples are certain."""
    torch.manual_seed(0)
    config = wavenet.WaveNetConfig(length=256, channels=16, skip=32, cycle=4, cycles=1)
    learner = train_seeds.WaveNetLearner(wavenet.WaveNet(config), Plan({}, 2, 2e-2), torch.device("cpu"))
    phase = torch.tensor([[0.0], [1.0]])
    tone = 0.5 * torch.sin(2 * torch.pi * torch.arange(256) / 16 + phase)
    costs = [float(learner.step(tone, number, 0.0)) for number in range(80)]
    assert costs[0] == pytest.approx(8, abs=1e-3) and costs[-1] < 0.3
    assert learner.score(tone, tone)["bits"] < 0.3
    made = learner.model.generate(2, seed=0)[:, 128:]
    assert (made[:, 16:] - made[:, :-16]).abs().median() < 0.02 and made.std() > 0.2


# Both: clips, and folders


@pytest.mark.parametrize("kind", ["wavegan", "wavenet"])
def test_clips_depend_on_the_seed_alone(kind):
    model = make(kind)
    torch.manual_seed(1)
    clips = model.generate(5, seed=3)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    assert clips.shape == (5, model.length) and clips.abs().max() <= 1
    torch.testing.assert_close(model.generate(5, seed=3, batch=2), clips)
    torch.testing.assert_close(model.generate(2, seed=3), clips[:2])
    assert not torch.allclose(model.generate(5, seed=4), clips)


@pytest.mark.parametrize("kind", ["wavegan", "wavenet"])
def test_a_saved_rival_is_loaded_as_it_was(kind, tmp_path):
    model = make(kind)
    for parameter in model.network.parameters():
        parameter.data = parameter.data.half().float()
    rivals.save(model, tmp_path / "one", "3 minutes", "tones")
    loaded = sys.modules[f"tts_diffvoc_eval.generation.{kind}"].load(tmp_path / "one", "cpu")
    assert torch.equal(loaded.generate(2, 7), model.generate(2, 7))
    same = ("label", "family", "sample_rate", "parameters", "config", "size", "length")
    assert all(getattr(loaded, name) == getattr(model, name) for name in same)
    assert loaded.training == "3 minutes" and loaded.family == {"wavegan": "gan", "wavenet": "autoregressive"}[kind]
    assert type(loaded) is type(model) and not any(p.requires_grad for p in loaded.network.parameters())
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = (tmp_path / "one" / "README.md").read_text()
    assert "tones" in card and "3 minutes" in card and f"{model.parameters:,}" in card
    assert json.loads((tmp_path / "one" / "config.json").read_text())["format"] == "diffvoc-seed/1"


def broken(folder, **changes):
    """A saved WaveGAN with other words in its config.json."""
    rivals.save(make("wavegan"), folder)
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda _: make("wavegan").generate(1, 0, labels=[3]), "without labels"),
        (lambda _: make("wavenet").generate(0, 0), "at least 1"),
        (lambda _: wavegan.WaveGanConfig(length=8000), "multiple of 1024"),
        (lambda _: wavegan.WaveGanConfig(width=0), "width"),
        (lambda _: wavenet.WaveNetConfig(cycles=1.5), "cycles"),
        (lambda _: wavegan.WaveGan(SMALL_GAN, size="tiny"), "published or small"),
        (lambda path: rivals.load(path / "nowhere"), "no folder of a rival"),
        (lambda path: rivals.load(broken(path, kind="vae")), "known are wavegan, wavenet"),
        (lambda path: rivals.load(broken(path, network={"depth": 3})), "what network"),
        (lambda path: rivals.load(broken(path, network={"length": 1024, "width": 5})), "does not belong"),
        (lambda path: (broken(path) / "model.safetensors").write_bytes(b"x") and rivals.load(path), "cannot be read"),
        (lambda path: train_seeds.train("vae", None, path, steps=1), "give wavegan or wavenet"),
    ],
)
def test_bad_words(call, words, tmp_path):
    with pytest.raises(DiffvocError, match=words):
        call(tmp_path)


# Training


@pytest.fixture(scope="module")
def corpus():
    """Six tones to learn from and two held back, 1,024 samples each, silent at both ends."""
    time = torch.arange(1024)
    envelope = ((time > 300) & (time < 600)).float()
    tones = torch.stack([0.4 * torch.sin(time * (0.1 + 0.05 * i)) * envelope for i in range(8)])
    digits = [
        Digits(part, torch.arange(len(part)), ["tone"] * len(part), [str(i) for i in range(len(part))], [], 8000)
        for part in (tones[:6], tones[6:])
    ]
    return Corpus("tones", "nobody's", *digits)


def weights(path):
    return rivals.load(path / "generator").network.state_dict()


@pytest.mark.parametrize("kind", ["wavegan", "wavenet"])
def test_a_resumed_training_equals_one_that_was_not_stopped(kind, corpus, tmp_path, monkeypatch):
    lines = []
    settings = {"steps": 8, "plan": PLANS[kind], "tell": lines.append}
    whole = train_seeds.train(kind, corpus, tmp_path / "whole", **settings)
    learner = train_seeds.KINDS[kind][1]
    real_step = learner.step

    def stopped(self, waveform, number, share):
        if number == 5:
            raise KeyboardInterrupt
        return real_step(self, waveform, number, share)

    monkeypatch.setattr(learner, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_seeds.train(kind, corpus, tmp_path / "parts", **settings)
    monkeypatch.setattr(learner, "step", real_step)
    assert not (tmp_path / "parts" / "generator").exists()
    parts = train_seeds.train(kind, corpus, tmp_path / "parts", **settings)
    assert any("going on after 5 steps" in line for line in lines)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    figures = ("steps", "bits", "distance", "learnt")
    assert [[getattr(s, f) for f in figures] for s in whole.scores] == [
        [getattr(s, f) for f in figures] for s in parts.scores
    ]
    assert [score.steps for score in parts.scores] == [0, 2, 4, 6, 8]
    with pytest.raises(DiffvocError, match="seed 0 and not 1"):
        train_seeds.train(kind, corpus, tmp_path / "parts", **settings, seed=1)


def test_training_leaves_generators_and_scores(corpus, tmp_path):
    run = train_seeds.train("wavenet", corpus, tmp_path, steps=40, plan=PLANS["wavenet"], tell=str)
    assert run.scores[0].bits == pytest.approx(8, abs=1e-3) and run.scores[-1].bits < 7.8
    made = [rivals.load(tmp_path / name) for name in ("quarter-1", "quarter-2", "quarter-3", "generator")]
    assert "40 steps of 2 clips" in made[-1].training and "10 steps" in made[0].training
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["label"] == "WaveNet (small)" and result["scores"][-1]["bits"] == run.scores[-1].bits


def test_wavegan_trains_with_its_critic_and_keeps_the_average(corpus, tmp_path):
    run = train_seeds.train("wavegan", corpus, tmp_path, steps=4, plan=PLANS["wavegan"], tell=str)
    assert run.scores[-1].bits is None and math.isfinite(run.scores[-1].distance) and run.scores[-1].learnt
    own, kept = run.learner.model.network.state_dict(), run.finished().network.state_dict()
    assert any(not torch.equal(own[k], kept[k]) for k in own)
    assert all(p.requires_grad for p in run.learner.networks["critic"].parameters())


def write_digits(folder):
    """Thirteen takes of one digit, eight of them held back by the corpus's rule (and take 8, as 0 is a third)."""
    folder.mkdir()
    for take in range(13):
        sound = 0.3 * np.sin(np.arange(2000) * (0.2 + 0.02 * take))
        soundfile.write(folder / f"0_tone_{take}.wav", sound, 8000)


def test_the_recipe_runs(tmp_path, monkeypatch, capsys):
    write_digits(tmp_path / "data")
    monkeypatch.setitem(train_seeds.PLANS, ("wavenet", "small"), PLANS["wavenet"])
    line = ["wavenet", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "run"), "--steps", "2"]
    train_seeds.main(line)
    said = capsys.readouterr().out
    assert "held back: 8.0000 bits a sample" in said and "2 steps" in said
    model = rivals.load(tmp_path / "run" / "generator")
    assert (model.length, model.sample_rate) == (8192, 8000)
    assert "Free Spoken Digit Dataset" in (tmp_path / "run" / "generator" / "README.md").read_text()
    with pytest.raises(SystemExit, match="give one of them"):
        train_seeds.main([*line, "--minutes", "1"])
    with pytest.raises(SystemExit, match="--threads"):
        train_seeds.main([*line, "--threads", "0"])

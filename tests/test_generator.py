"""Generators: lengths, seeds, labels, guidance, losses, zero-shot denoising and interpolation, and what is refused."""

import json
import math
from dataclasses import replace

import pytest
import torch
from small_generators import CONFIGS, HOP, PLAIN, SPECTRA, falling, gaussian, random_generator, sizes

from tts_diffvoc.diffusion.schedules import linear_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.zero_shot import entry_level, estimate_noise, noise_deviation, schedule_from

LABELLED = ["plain with labels", "spectra with labels"]


@pytest.fixture(params=CONFIGS)
def generator(request) -> Generator:
    return random_generator(request.param)


@pytest.fixture(params=LABELLED)
def labelled(request) -> Generator:
    return random_generator(request.param)


def wiener() -> Generator:
    """An untrained generator on spectra, which knows deviations and nothing else."""
    torch.manual_seed(0)
    made = Generator(CONFIGS["spectra"]).eval()
    made.deviation.copy_(falling(HOP))
    return made


def si_sdr(estimate: torch.Tensor, clean: torch.Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of all rows together (Le Roux et al. 2019)."""
    target = (estimate * clean).sum() / clean.square().sum() * clean
    return 10 * math.log10(float(target.square().sum() / (estimate - target).square().sum()))


# Generation


@pytest.mark.parametrize("length", [None, 1, 16, 100, 2000])
def test_clips_of_any_length(generator, length):
    clips = generator.generate(2, steps=2, seed=0, length=length)
    assert clips.shape == (2, length or 512) and clips.dtype == torch.float32
    assert torch.isfinite(clips).all() and clips.abs().max() <= 1


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm_solver_pp_2m", "langevin"])
def test_the_same_seed_gives_the_same_samples(generator, sampler):
    one, again, other = (generator.generate(2, steps=3, sampler=sampler, seed=s) for s in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other) and not torch.equal(one[0], one[1])
    assert not torch.equal(generator.generate(steps=2), generator.generate(steps=2))


def test_the_whole_schedule_is_the_default_and_defaults_serve():
    generator, steps = random_generator("spectra"), []
    generator.generate(seed=0, callback=lambda step, x, x0: steps.append(step))
    assert len(steps) == 100
    generator.defaults.update(steps=4, seed=5, sampler="ddim")
    assert torch.equal(generator.generate(), generator.generate(1, steps=4, seed=5, sampler="ddim"))


def test_names_and_numbers_of_labels(labelled):
    assert labelled.labels == ("one", "two", "2")
    both = labelled.generate(2, ["one", "2"], steps=2, seed=0)
    assert torch.equal(both, labelled.generate(label=["one", 2], steps=2, seed=0))
    assert torch.equal(both, labelled.generate(2, torch.tensor([0, 2]), steps=2, seed=0))
    alike = labelled.generate(2, "one", steps=2, seed=0)
    torch.testing.assert_close(alike[0], both[0], atol=1e-6, rtol=1e-5)
    assert (alike[1] - both[1]).abs().max() > 1e-4
    none = labelled.generate(2, steps=2, seed=0)
    torch.testing.assert_close(none, labelled.generate(2, [None, None], steps=2, seed=0))
    assert (alike - none).abs().max() > 1e-4


def test_untrained_generators_make_noise_of_the_expected_spectrum():
    made = wiener()
    x = made.encode(made.generate(64, sampler="ddim", seed=0, length=16 * 64))
    found = made.mdct(x).square().mean((0, 2)).sqrt()
    torch.testing.assert_close(found, falling(HOP), atol=0.005, rtol=0.1)


# Guidance


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_guidance_is_linear_in_the_noise(labelled, weight):
    x, level = torch.randn(3, 64), torch.tensor([0.9, 0.7, 0.5])
    labels = torch.tensor([0, 2, 1])
    with_label, without = labelled.denoiser(labels)(x, level), labelled.denoiser()(x, level)
    assert (with_label - without).abs().max() > 1e-3
    expected = (1 + weight) * with_label - weight * without
    torch.testing.assert_close(labelled.denoiser(labels, weight)(x, level), expected, atol=1e-4, rtol=1e-4)


def test_guidance_is_one_call_of_the_network(labelled):
    calls = []
    labelled.network.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    labelled.denoiser(torch.tensor([0, 1]), 1.0)(torch.randn(2, 64), torch.tensor([0.9, 0.7]))
    assert calls == [4]


def test_guidance_by_default_is_for_labels(labelled):
    labelled.defaults["guidance"] = 2.0
    options = {"steps": 2, "seed": 0}
    guided = labelled.generate(1, "one", guidance=2.0, **options)
    assert torch.equal(labelled.generate(1, "one", **options), guided)
    assert not torch.equal(labelled.generate(1, "one", guidance=0.0, **options), guided)
    assert torch.equal(
        labelled.generate(1, **options), random_generator(labelled.name.replace("-", " ")).generate(1, **options)
    )


# Losses


def fixed_loss(made: Generator, waveform, labels=None) -> float:
    """The loss in evaluation mode on eight draws of noise."""
    made.eval()
    seeds = [range(1000 * k, 1000 * k + len(waveform)) for k in range(1000, 1008)]
    with torch.no_grad():
        return float(torch.stack([made.loss(waveform, labels, one) for one in seeds]).mean())


def train(made: Generator, waveform, steps: int, labels=None, rate: float = 5e-3) -> float:
    """Train, and return the loss on noise that training has not seen."""
    optimizer = torch.optim.Adam(made.parameters(), lr=rate)
    made.train()
    for step in range(steps):
        loss = made.loss(waveform, labels, seeds=[100 * step + i for i in range(len(waveform))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fixed_loss(made, waveform, labels)


def tones(*hertz: float) -> torch.Tensor:
    """Tones [N, 512] at random phases."""
    phase = 2 * math.pi * torch.rand(len(hertz), 1, generator=torch.Generator().manual_seed(0))
    return 0.1 * torch.sin(2 * math.pi * torch.tensor(hertz).unsqueeze(1) / 8000 * torch.arange(512) + phase)


def test_a_published_generator_beats_the_best_estimate_of_each_sample_by_itself():
    torch.manual_seed(0)
    config = GeneratorConfig(sizes(residual_channels=16), **{**PLAIN, "scale": 10.0})
    made, clips = Generator(config), tones(*[440.0] * 8)
    signal = config.schedule.noise_levels.square()
    power = signal * made.encode(clips).square().mean()
    alone = float((power / (power + 1 - signal)).mean())
    assert train(made, clips, 150, rate=3e-3) < 0.7 * alone


def test_a_generator_on_spectra_beats_the_best_linear_estimate_and_labels_tell_what_a_clip_is():
    """Deviations tell the spectrum of two tones; that they go on evenly is for the network to learn, and the label says
    which of them it is where the noise does not let it be seen."""
    torch.manual_seed(0)
    config = CONFIGS["spectra with labels"]
    made = Generator(replace(config, sizes=replace(config.sizes, residual_channels=32)))
    clips, labels = tones(*[440.0, 1300.0] * 4), torch.tensor([0, 1] * 4)
    made.measure(clips)
    before = train(made, clips, 0, labels)
    assert before == pytest.approx(1, abs=0.15)
    assert train(made, clips, 80, labels) < 0.92 * before
    with torch.no_grad():
        right, wrong, none = (fixed_loss(made, clips, given) for given in (labels, 1 - labels, None))
    assert right < 0.9 * wrong and right < none < wrong


def test_a_rows_loss_does_not_depend_on_its_batch(generator):
    generator.train()
    waveform = 0.1 * torch.randn(3, 512)
    labels = torch.tensor([0, 1, 2]) if generator.labels else None
    seeds = [5, 2**62 - 1, 7]
    together = generator.loss(waveform, labels, seeds)
    rows = [
        generator.loss(waveform[i : i + 1], None if labels is None else labels[i : i + 1], seeds[i : i + 1])
        for i in range(3)
    ]
    assert len({row.item() for row in rows}) == 3
    assert together.item() == pytest.approx(sum(rows).item() / 3, rel=1e-4)
    assert generator.loss(waveform, labels).item() != generator.loss(waveform, labels).item()


def test_one_label_in_ten_is_left_out_in_training(labelled):
    waveform, labels, seen = 0.1 * torch.randn(1, 128).expand(200, -1), torch.ones(200, dtype=torch.long), []
    labelled.network.label_embedding.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for training in (True, False):
        labelled.train(training).loss(waveform, labels, [1000 * seed for seed in range(200)])
    left_out = [int((given == labelled.network.no_label).sum()) for given in seen]
    assert len(left_out) == 2 and 8 <= left_out[0] <= 34 and left_out[1] == 0  # 20 on average, deviation 4.2


def test_gradients_reach_every_weight(generator):
    labels = torch.tensor([0, 1]) if generator.labels else None
    generator.loss(0.1 * torch.randn(2, 512), labels, [1, 2]).backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_measure_finds_the_deviations():
    made = Generator(CONFIGS["spectra"])
    made.measure(gaussian(falling(HOP), 150, 64) / 10.0)
    torch.testing.assert_close(made.deviation, falling(HOP), atol=0.0, rtol=0.05)
    made.measure(torch.zeros(2, 512))
    assert made.deviation.min() > 0


# Denoising


def test_denoising_gains_what_the_deviations_allow():
    """With data that are all that the generator expects, the gains are known in closed form.

    Let r be a coefficient's deviation and q that of the noise. One step is the posterior mean, r^2 / (r^2 + q^2) of
    each coefficient; infinitely many of the deterministic sampler make the deviation r again, r / sqrt(r^2 + q^2).
    """
    made, r, noise = wiener(), falling(HOP).double(), 0.06
    clean = gaussian(falling(HOP), 40, 64) / 10.0
    noisy = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    q2 = (10 * noise) ** 2

    def expected(gain):
        parallel = (gain * r**2).sum() ** 2 / (r**2).sum()
        return 10 * math.log10(float(parallel / ((gain**2 * (r**2 + q2)).sum() - parallel)))

    before = si_sdr(noisy, clean)
    mean = si_sdr(made.denoise(noisy, noise=noise, steps=1), clean)
    whole = si_sdr(made.denoise(noisy, noise=noise, steps=100), clean)
    assert mean == pytest.approx(expected(r**2 / (r**2 + q2)), abs=0.1)
    assert whole == pytest.approx(expected(r / (r**2 + q2).sqrt()), abs=0.1)
    assert mean > whole + 0.2 and whole > before + 3
    other = si_sdr(made.denoise(noisy, noise=3 * noise, steps=1), clean)
    assert other < mean - 0.5


def test_a_clip_enters_scaled_by_the_noise_level():
    """A network that sees no noise gives back the clip, as it would not if it had entered unscaled."""
    made = Generator(CONFIGS["plain"]).eval()
    torch.nn.init.zeros_(made.network.output_projection.bias)
    clip = 0.3 * torch.randn(2, 300).clamp(-3, 3)
    for t in (1, 2, 25, 200):
        torch.testing.assert_close(made.denoise(clip, t, steps=4), clip, atol=1e-5, rtol=1e-4)


def test_a_step_and_the_noise_it_means_are_alike(generator):
    clip = 0.1 * torch.randn(1, 300)
    level = entry_level(generator, t=25)
    assert level == float(generator.config.schedule.noise_levels[24])
    noise = noise_deviation(generator, level)
    assert noise == pytest.approx(math.sqrt(1 - level**2) / level / generator.config.scale)
    assert entry_level(generator, noise=noise) == pytest.approx(level, abs=1e-9)
    one, other = generator.denoise(clip, 25, steps=4), generator.denoise(clip, noise=noise, steps=4)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_denoising_walks_the_schedule_from_there(generator):
    walked = []
    for steps, expected in ((None, 25), (4, 4), (1, 1)):
        walked.clear()
        generator.denoise(torch.randn(1, 64), 25, steps=steps, callback=lambda step, x, x0: walked.append(step))
        assert walked == list(range(expected))
    schedule, training = schedule_from(generator, entry_level(generator, 25)), generator.config.schedule
    torch.testing.assert_close(schedule.noise_levels, training.noise_levels[:25])
    assert schedule_from(generator, entry_level(generator, 1), 5).num_steps == 1


@pytest.mark.parametrize("length", [1, 5, 16, 250, 1500])
def test_denoised_clips_are_as_long_as_they_were(generator, length):
    clip = 0.1 * torch.randn(2, length)
    cleaned = generator.denoise(clip, 3)
    assert cleaned.shape == clip.shape and cleaned.abs().max() <= 1
    assert generator.denoise(clip[0], 3).shape == (1, length)


def test_denoising_draws_nothing_unless_a_sampler_does(generator):
    clip = 0.1 * torch.randn(1, 300)
    assert torch.equal(generator.denoise(clip, 20, steps=4), generator.denoise(clip, 20, steps=4))
    one, again, other = (generator.denoise(clip, 20, steps=4, sampler="ddpm", seed=s) for s in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_noise_is_estimated_clip_by_clip():
    made = wiener()
    clean = gaussian(falling(HOP), 2, 512) / 10.0
    clean[:, 3000:6000] = 0
    noisy = clean + torch.tensor([[0.01], [0.05]]) * torch.randn_like(clean)
    together = made.denoise(noisy, steps=3)
    for row, noise in enumerate((0.01, 0.05)):
        alone = made.denoise(noisy[row], steps=3)
        torch.testing.assert_close(together[row], alone[0])
        level = entry_level(made, waveform=noisy[row])
        assert noise_deviation(made, level) == pytest.approx(noise, rel=0.1)
        assert si_sdr(alone[0], clean[row]) > si_sdr(noisy[row], clean[row]) + 0.5


def test_estimates_of_noise():
    noise = 0.02 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    assert estimate_noise(noise, 16000) == pytest.approx(0.02, rel=0.05)
    padded = torch.cat([torch.zeros(8000), noise + 0.1 * (torch.arange(16000) > 8000), torch.zeros(4000)])
    assert estimate_noise(padded, 16000) == pytest.approx(0.02, rel=0.1)
    speech = noise + 0.3 * torch.sin(0.2 * torch.arange(16000)) * (torch.arange(16000) % 4000 > 800)
    assert estimate_noise(speech, 16000) == pytest.approx(0.02, rel=0.1)
    for nothing in (torch.zeros(16000), torch.zeros(3), torch.ones(1), torch.ones(500)):
        assert estimate_noise(nothing, 16000) == 0


def test_a_clip_without_noise_stays_nearly_as_it_is():
    made, clip = wiener(), torch.zeros(1, 4000)
    clip[:, 1000:1500] = clip[:, 3000:3500] = gaussian(falling(HOP), 1, 40)[:, :500] / 10.0
    assert entry_level(made, waveform=clip[0]) == float(made.config.schedule.noise_levels[0])
    assert si_sdr(made.denoise(clip), clip) > 25


def test_labels_change_what_is_heard(labelled):
    clip = 0.1 * torch.randn(2, 300)
    plain, one, both = (labelled.denoise(clip, 60, steps=4, label=label) for label in (None, "one", ["one", "two"]))
    torch.testing.assert_close(one[0], both[0], atol=1e-5, rtol=1e-4)
    assert (one - plain).abs().max() > 1e-5 and (one[1] - both[1]).abs().max() > 1e-5
    estimated = labelled.denoise(clip, steps=4, label=["one", None])
    torch.testing.assert_close(estimated[:1], labelled.denoise(clip[:1], steps=4, label="one"))
    torch.testing.assert_close(estimated[1:], labelled.denoise(clip[1:], steps=4))


# Interpolation


def test_interpolation_begins_and_ends_at_the_clips_where_little_noise_is_added():
    made = wiener()
    a, b = (gaussian(falling(HOP), 1, 20, seed)[0, :300] / 10.0 for seed in (1, 2))
    clips = made.interpolate(a, b, t=2, points=5, seed=0)
    assert clips.shape == (5, 300)
    assert si_sdr(clips[0], a) > 25 and si_sdr(clips[-1], b) > 25
    assert si_sdr(clips[0], b) < 0


@pytest.mark.parametrize("same_noise", [True, False])
def test_a_linear_generator_interpolates_linearly(same_noise):
    """Without a network, each point is the mean of the ends by its weight; so all is linear, and weights are even."""
    made = wiener()
    a, b = (gaussian(falling(HOP), 1, 20, seed)[0] / 10.0 for seed in (1, 2))
    clips = made.interpolate(a, b, t=80, points=5, seed=0, same_noise=same_noise, steps=10)
    weight = torch.tensor([0, 0.25, 0.5, 0.75, 1]).unsqueeze(1)
    torch.testing.assert_close(clips, (1 - weight) * clips[:1] + weight * clips[-1:], atol=1e-5, rtol=1e-4)
    assert (clips[0] - clips[-1]).abs().max() > 0.05


def test_the_same_noise_keeps_its_deviation_in_mixtures(generator):
    """With silence at both ends the state that the samplers get is the noise alone."""
    states = []
    amplitudes = slice(4 * HOP + 2)  # powers, where the network sees them, have another zero
    generator.network.register_forward_pre_hook(
        lambda module, inputs: states.append(inputs[0][:, amplitudes] if inputs[0].dim() == 3 else inputs[0])
    )
    for same, share in ((True, 1.0), (False, math.sqrt(0.5))):
        generator.interpolate(torch.zeros(4096), torch.zeros(4096), 60, 3, steps=1, seed=0, same_noise=same)
        ends, middle = states[-1][[0, 2]].std(), states[-1][1].std()
        assert float(middle / ends) == pytest.approx(share, rel=0.05)


def test_interpolation_by_seed(generator):
    a, b = 0.1 * torch.randn(2, 250)
    one, again, other = (generator.interpolate(a, b, 40, 3, steps=4, seed=s) for s in (1, 1, 2))
    assert one.shape == (3, 250) and torch.equal(one, again) and not torch.equal(one, other)
    sampled = generator.interpolate(a, b, 40, 3, sampler="ddpm", steps=4, seed=1)
    assert torch.equal(sampled, generator.interpolate(a, b, 40, 3, sampler="ddpm", steps=4, seed=1))


# What is refused


@pytest.mark.parametrize(
    "options, says",
    [
        ({"steps": 0}, "from 1 to"),
        ({"steps": 101}, "at most 100"),
        ({"sampler": "euler"}, "ddpm"),
        ({"seed": -1}, "seed"),
        ({"guidance": -1}, "guidance"),
        ({"guidance": 1.0}, "give spectra-with-labels a label"),
        ({"label": "seven"}, "label=seven is unknown to .*; give 0 to 2, a whole number, or a name: one, two, 2"),
        ({"label": 3}, "0 to 2"),
        ({"label": -1}, "0 to 2"),
        ({"label": ["one", "two"], "count": 3}, "2 labels were given for 3 clips"),
        ({"count": 0}, "at least 1"),
        ({"length": 0}, "at least 1"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(DiffvocError, match=says):
        random_generator("spectra with labels").generate(**options)


def test_an_unconditional_generator_takes_no_label():
    made = random_generator("spectra")
    for call in (
        lambda: made.generate(1, "one"),
        lambda: made.loss(torch.zeros(1, 512), torch.tensor([0])),
        lambda: made.denoise(torch.zeros(1, 64), 5, label=0),
        lambda: made.check_options({"guidance": 1.0}),
        lambda: made.generate(guidance=1.0),
    ):
        with pytest.raises(DiffvocError, match="label"):
            call()


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda g, clip: g.denoise(clip, 0), "t=0 is no step"),
        (lambda g, clip: g.denoise(clip, 101), "1 to 100"),
        (lambda g, clip: g.denoise(clip, 5, 0.1), "each alone"),
        (lambda g, clip: g.denoise(clip, noise=0.0), "noise=0.0"),
        (lambda g, clip: g.denoise(clip, noise=1e3), "up to a deviation of 5"),
        (lambda g, clip: g.denoise(clip, noise=math.nan), "noise=nan"),
        (lambda g, clip: g.denoise(clip, 5, steps=0), "from 1 to"),
        (lambda g, clip: g.denoise(clip, 5, steps=500), "at most 100"),
        (lambda g, clip: g.denoise(clip, 5, sampler="euler"), "ddpm"),
        (lambda g, clip: g.denoise(clip[:, :0], 5), "shape"),
        (lambda g, clip: g.denoise(clip[None], 5), "shape"),
        (lambda g, clip: g.denoise(clip * math.nan, 5), "peak of nan"),
        (lambda g, clip: entry_level(g), "where to begin"),
        (lambda g, clip: g.interpolate(clip[0], clip[0, :9], 5), "alike"),
        (lambda g, clip: g.interpolate(clip.expand(2, -1), clip.expand(2, -1), 5), "alike"),
        (lambda g, clip: g.interpolate(clip[0], clip[0], 5, 1), "at least 2"),
        (lambda g, clip: g.interpolate(clip[0], clip[0], 500), "no step"),
        (lambda g, clip: g.loss(clip, seeds=[1, 2]), "2 seeds"),
        (lambda g, clip: random_generator("plain").measure(clip), "has a hop"),
    ],
)
def test_bad_calls_are_refused(call, says):
    with pytest.raises(DiffvocError, match=says):
        call(random_generator("spectra"), torch.zeros(1, 64))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"sizes": sizes()}, "needs 99"),
        ({"sizes": sizes(HOP, n_mels=4, upsample_factors=(1,))}, "n_mels=0"),
        ({"sizes": sizes(HOP, labels=2)}, "2 labels and their names are none"),
        ({"labels": ("a",)}, "0 labels and their names are a"),
        ({"sizes": sizes(HOP, labels=2), "labels": ("a", "a")}, "no two alike"),
        ({"hop": 15}, "even divisor"),
        ({"length": 500}, "even divisor"),
        ({"scale": 0.0}, "positive"),
        ({"sample_rate": 0}, "positive"),
        ({"schedule": linear_schedule(1e-6, 1e-3, 50)}, "far from pure noise"),
    ],
)
def test_bad_configurations_are_refused(change, says):
    with pytest.raises(DiffvocError, match=says):
        replace(CONFIGS["spectra"], **change)


@pytest.mark.parametrize("kind", CONFIGS)
def test_configurations_survive_json(kind):
    config = replace(CONFIGS[kind], defaults={"steps": 7})
    assert GeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_bad_json_is_refused():
    values = GeneratorConfig(sizes(HOP), **SPECTRA).to_dict()
    for change, says in (({"colour": 1}, "colour"), ({"sizes": {"depth": 3}}, "depth")):
        with pytest.raises(DiffvocError, match=says):
            GeneratorConfig.from_dict({**values, **change})
    with pytest.raises(DiffvocError, match="lacks 'schedule'"):
        GeneratorConfig.from_dict({name: value for name, value in values.items() if name != "schedule"})

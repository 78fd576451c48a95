"""Baselines: built, aligned, kept on disk, trained, and read from Coqui's own folders."""

import json
import math
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tts_diffvoc import voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.training.corpus import scan
from tts_diffvoc.training.crops import read_clip
from tts_diffvoc_eval import baselines
from tts_diffvoc_eval.baselines import catalogue, discriminators, learners, wavernn
from tts_diffvoc_eval.baselines.mels import CONTRACT, convert, differences
from tts_diffvoc_eval.baselines.training import Budget, train

CLIPS = Path(__file__).resolve().parents[2] / "eval" / "tts_diffvoc_eval" / "clips"
GANS = [name for name in baselines.NAMES if name != "wavernn"]
FLOOR = math.log(CONTRACT.floor)


@pytest.fixture(scope="module")
def clips():
    """Recordings to train on, and two held back, with other sentences."""
    return scan(CLIPS, CONTRACT).split(2)


@pytest.fixture(scope="module")
def mel(clips):
    return read_clip(clips[1][0], CONTRACT, 0.5)[1].unsqueeze(0)


def burst(frames=40, at=20):
    """A mel of near silence, and the same with a loud frame at ``at``."""
    quiet = torch.full((1, 80, frames), FLOOR + 2)
    loud = quiet.clone()
    loud[:, :, at] = 0.0
    return quiet, loud


# Built


@pytest.mark.parametrize("size", baselines.SIZES)
@pytest.mark.parametrize("name", GANS)
def test_gan_gives_a_hop_of_samples_for_each_frame(name, size, mel):
    baseline = baselines.build(name, size)
    waveform = baseline.synthesise(mel[..., :16].expand(2, -1, -1), seed=3)
    assert waveform.shape == (2, 16 * 256) and waveform.dtype == torch.float32
    assert waveform.abs().max() <= 1 and waveform.std() > 0
    again = baseline.synthesise(mel[..., :16].expand(2, -1, -1), seed=3)
    assert torch.equal(waveform, again)
    other = baseline.synthesise(mel[..., :16].expand(2, -1, -1), seed=4)
    assert torch.equal(waveform, other) == baseline.deterministic
    assert not any(torch.nn.utils.parametrize.is_parametrized(module) for module in baseline.generator.modules())


@pytest.mark.parametrize("size", baselines.SIZES)
def test_wavernn_gives_a_hop_of_samples_for_each_frame(size, mel):
    baseline = baselines.build("wavernn", size)
    two = mel[..., :1].expand(2, -1, -1)
    waveform = baseline.synthesise(two, seed=3)
    assert waveform.shape == (2, 256) and not torch.equal(waveform[0], waveform[1])
    assert torch.equal(waveform, baseline.synthesise(two, seed=3))


def test_sizes_are_those_of_the_papers():
    """Parameters of the generators: HiFi-GAN's table 1, and what MelGAN's and WaveRNN's authors say, in millions."""
    published = {name: baselines.build(name, "published").parameters / 1e6 for name in baselines.NAMES}
    papers = {"hifigan-v1": 13.92, "hifigan-v2": 0.92, "melgan": 4.26, "parallel-wavegan": 1.31}
    assert {name: round(published[name], 1) for name in papers} == {k: round(v, 1) for k, v in papers.items()}
    small = {name: baselines.build(name, "small").parameters / 1e6 for name in baselines.NAMES}
    assert all(small[name] < published[name] / 3 for name in baselines.NAMES)


def test_usual_sizes():
    assert baselines.build("wavernn").size == "small" and baselines.build("wavernn").label == "WaveRNN (small)"
    assert baselines.build("univnet").size == "published" and baselines.build("univnet").label == "UnivNet"


def test_synthesis_leaves_the_random_numbers_alone(mel):
    torch.manual_seed(1)
    baselines.build("univnet", "small").synthesise(mel, seed=9)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: baselines.build("hifigan-v3"), "did you mean 'hifigan-v"),
        (lambda: baselines.build("vocos"), "the names are hifigan-v1"),
        (lambda: baselines.build("melgan", "tiny"), "published or small"),
        (lambda: catalogue.generator("hifigan", {"in_channels": 80}), "no network of the kind hifigan"),
        (lambda: catalogue.generator("vits", {}), "no kind of network"),
        (lambda: baselines.build("melgan", "small").synthesise(torch.zeros(1, 79, 9)), "takes"),
        (lambda: baselines.build("melgan", "small").synthesise(torch.full((1, 80, 9), math.nan)), "NaN"),
    ],
)
def test_bad_words(call, words):
    with pytest.raises(DiffvocError, match=words):
        call()


# Aligned


@pytest.mark.parametrize("name", GANS)
def test_a_loud_frame_is_heard_where_it_is(name):
    """What a loud frame changes is centred on that frame's samples: the network neither delays nor cuts."""
    baseline = baselines.build(name, "small")
    made = [baseline.synthesise(one.repeat(1, 1, 1), seed=0)[0] for one in burst()]
    change = (made[1] - made[0]).square()
    centre = float((change * torch.arange(len(change))).sum() / change.sum())
    assert abs(centre - 20.5 * 256) < 256


@pytest.mark.parametrize("fold", [None, (4, 2)])
def test_what_wavernn_hears_is_where_it_is(fold):
    """With the same random numbers its samples differ from a loud frame on, or up to three frames before it: it sees
    two frames ahead. Pieces side by side come in order."""
    baseline = baselines.build("wavernn", "small")
    baseline.fold = fold
    made = [baseline.synthesise(one, seed=0)[0] for one in burst(12, 8)]
    first = int((made[1] != made[0]).nonzero()[0])
    assert 5 * 256 <= first <= 8 * 256 and made[0].shape == (12 * 256,)


def test_wavernn_samples_as_coqui_does(mel):
    """The same modules in the same order with the same random numbers as ``Wavernn.inference``."""
    network = catalogue.untrained("wavernn", "small", 0).eval()
    short = mel[..., :4]
    torch.manual_seed(5)
    theirs = torch.as_tensor(network.inference(torch.nn.functional.pad(short, (0, 1)), batched=False))
    network.eval()
    torch.manual_seed(5)
    for rnn in (network.rnn1, network.rnn2):  # Coqui makes cells with random weights before it copies these
        network.get_gru_cell(rnn)
    padded = torch.nn.functional.pad(short, (2, 3))  # Coqui pads with zeros, and leaves the last frame out
    with torch.inference_mode():
        ours = wavernn._decoded(network, padded)[0, : len(theirs)]
    torch.testing.assert_close(ours.double(), theirs.double(), atol=1e-5, rtol=0)


def test_folded_pieces_join_to_the_whole():
    whole = torch.arange(22.0)
    pieces = whole.unfold(0, 10, 6).unsqueeze(0)  # pieces of 6 after a run-up of 4, of which 2 are cross-faded
    torch.testing.assert_close(wavernn._join(pieces, 4)[0], whole[4:])


def test_mulaw_is_coquis():
    from TTS.utils.audio.numpy_transforms import mulaw_decode, mulaw_encode

    waveform = torch.linspace(-0.999, 0.999, 301)
    for bits in (9, 10):
        classes = wavernn.quantise(waveform, bits)
        assert (classes.numpy() == mulaw_encode(wav=waveform.numpy(), mulaw_qc=bits)).mean() > 0.99
        levels = wavernn.level(classes, bits)
        theirs = mulaw_decode(wav=levels.numpy(), mulaw_qc=bits)
        np.testing.assert_allclose(wavernn.expand_mulaw(levels, bits).numpy(), theirs, atol=1e-5)


# Discriminators


def test_narrower_discriminator_has_fewer_channels_and_the_same_scores():
    wide, narrow = (discriminators.make("HifiganDiscriminator", narrower=by) for by in (1, 16))
    count = [sum(p.numel() for p in one.parameters()) for one in (wide, narrow)]
    assert count[1] < count[0] / 100
    waveform = torch.randn(1, 1, 4096)
    shapes = [[score.shape for score in one(waveform)[0]] for one in (wide, narrow)]
    assert shapes[0] == shapes[1]


def test_the_spectral_judge_of_univnet_teaches_the_generator():
    waveform = torch.randn(1, 1, 4096, requires_grad=True)
    judge = discriminators.make("UnivnetDiscriminator", narrower=8)
    judge.msd(waveform)[0][0].sum().backward()
    assert waveform.grad is not None and waveform.grad.abs().sum() > 0


def test_windows_are_not_learnt():
    one = catalogue.system("univnet")
    learner = learners.make(one, one.small, catalogue.untrained("univnet", "small", 0), catalogue.usual_mel(one))
    judge = learner.networks["discriminator"].msd.discriminators[0]
    before = judge.stft.window.clone(), judge.out.bias.detach().clone()
    for number in range(2):
        learner.step(0.1 * torch.randn(1, 2048), torch.randn(1, 80, 8) - 5, 100 + number, 0.9)
    assert torch.equal(judge.stft.window, before[0]) and not torch.equal(judge.out.bias, before[1])


# Kept on disk


@pytest.mark.parametrize("name", baselines.NAMES)
def test_saved_and_loaded_says_the_same(name, tmp_path, mel):
    baseline = baselines.build(name, "small", seed=1)
    baseline.training = "3 CPU minutes"
    baselines.save(baseline, tmp_path / "exact", half=False)
    baselines.save(baseline, tmp_path / "half", data="somebody")
    assert baselines.is_saved(tmp_path / "half") and not baselines.is_saved(tmp_path)
    assert not voices.is_vocoder(tmp_path / "half")
    assert voices.card(tmp_path / "half")["training"] == "3 CPU minutes"
    short = mel[..., : 2 if name == "wavernn" else 20]
    wanted = baseline.synthesise(short, seed=1)
    exact, half = (baselines.load(tmp_path / kind) for kind in ("exact", "half"))
    assert torch.equal(exact.synthesise(short, seed=1), wanted)
    assert (half.label, half.training, half.size, half.mel) == (baseline.label, "3 CPU minutes", "small", baseline.mel)
    assert half.generator.state_dict().keys() == baseline.generator.state_dict().keys()
    if name != "wavernn":  # the least difference sends its samples elsewhere
        assert (half.synthesise(short, seed=1) - wanted).abs().max() < 0.02 * wanted.abs().max() + 1e-3
    sizes = [(tmp_path / kind / "model.safetensors").stat().st_size for kind in ("exact", "half")]
    assert sizes[1] < 0.6 * sizes[0]


def test_bad_folders(tmp_path):
    with pytest.raises(DiffvocError, match="is not there"):
        baselines.load(tmp_path / "nowhere")
    with pytest.raises(DiffvocError, match="is not a baseline"):
        baselines.load(tmp_path)
    baselines.save(baselines.build("melgan", "small"), tmp_path / "melgan")
    weights = tmp_path / "melgan" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DiffvocError, match="cannot be read"):
        baselines.load(tmp_path / "melgan")
    baselines.save(baselines.build("hifigan-v2", "small"), tmp_path / "hifigan")
    weights.write_bytes((tmp_path / "hifigan" / "model.safetensors").read_bytes())
    with pytest.raises(DiffvocError, match="does not belong to its config.json"):
        baselines.load(tmp_path / "melgan")
    weights.unlink()
    with pytest.raises(DiffvocError, match="cannot be read"):
        baselines.load(tmp_path / "melgan")
    config = tmp_path / "melgan" / "config.json"
    config.write_text(json.dumps({"format": "diffvoc-baseline/1", "name": "melgan"}))
    with pytest.raises(DiffvocError, match="lacks"):
        baselines.load(tmp_path / "melgan")
    (tmp_path / "file").touch()
    with pytest.raises(DiffvocError, match="cannot be written"):
        baselines.save(baselines.build("melgan", "small"), tmp_path / "file" / "inside")


# Trained


def quick(name, clips, output, steps=200, **options):
    """A short training on the smallest crops."""
    settings = {"batch": 1, "frames": 2 if name == "wavernn" else 8, "tell": lambda line: None, **options}
    return train(name, *clips, output, steps=steps, **settings)


@pytest.mark.parametrize("name", baselines.NAMES)
def test_training_beats_the_first_weights(name, clips, tmp_path):
    """A few hundred steps bring the mels of held-back clips nearer than the random weights do."""
    start = time.process_time()
    steps = 150 if name == "wavernn" else 200
    result = quick(name, clips, tmp_path, steps, data="eval/tts_diffvoc_eval/clips")
    first, last = result.scores[0], result.scores[-1]
    print(f"{name}: {time.process_time() - start:.1f} s, log-mel L1 {first.mel_l1:.3f} to {last.mel_l1:.3f}")
    assert (result.steps, first.steps, last.steps) == (steps, 0, steps)
    assert last.mel_l1 < 0.95 * first.mel_l1
    trained = baselines.load(result.folder)
    assert trained.training.startswith(f"{result.minutes:.3g} CPU minutes")
    waveform, mel = read_clip(clips[1][0], CONTRACT, 0.3)
    made = trained.synthesise(mel.unsqueeze(0), seed=0)
    assert torch.isfinite(made).all() and made.abs().max() > 1e-3
    if name == "wavernn":
        assert last.nats < first.nats - 0.3


def test_taken_up_again_ends_where_it_would_have(clips, tmp_path):
    quick("melgan", clips, tmp_path / "whole", 12)
    stopped = []

    def stop(line):
        stopped.append(line)
        if "6 steps" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick("melgan", clips, tmp_path / "parts", 12, tell=stop)
    assert not (tmp_path / "parts" / "vocoder").exists()
    result = quick("melgan", clips, tmp_path / "parts", 12, tell=stopped.append)
    assert any("going on after 6 steps" in line for line in stopped)
    assert [score.steps for score in result.scores] == [0, 3, 6, 9, 12]
    weights = [baselines.load(tmp_path / run / "vocoder").generator.state_dict() for run in ("whole", "parts")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_what_a_run_leaves(clips, tmp_path):
    lines = []
    result = quick("hifigan-v2", clips, tmp_path, 8, keep_quarters=True, tell=lines.append, bf16=True, gain_db=6)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["checkpoint.pt", "quarter-1", "quarter-2", "quarter-3", "vocoder"]
    assert "2 steps of 1 crops of 8 frames" in baselines.load(tmp_path / "quarter-1").training
    assert result.folder == tmp_path / "vocoder" and str(tmp_path) not in (result.folder / "README.md").read_text()
    assert all("log-mel L1" in line for line in lines) and len(lines) == 5
    again = quick("hifigan-v2", clips, tmp_path, 8, bf16=True, gain_db=6)
    assert again.steps == 8 and again.scores == result.scores
    more = quick("hifigan-v2", clips, tmp_path, 9, bf16=True, gain_db=6)
    assert more.steps == 9
    with pytest.raises(DiffvocError, match="seed 0 and not 1"):
        quick("hifigan-v2", clips, tmp_path, 9, bf16=True, gain_db=6, seed=1)
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(DiffvocError, match="delete it to begin anew"):
        quick("hifigan-v2", clips, tmp_path, 9)


def test_minutes_are_those_of_steps():
    budget = Budget(minutes=0.5)
    budget.spent = 7.5
    assert budget.share == 0.25 and budget.left() == pytest.approx(22.5)
    for minutes, steps in ((None, None), (1, 1), (0, None), (math.inf, None), (None, -1)):
        with pytest.raises(DiffvocError, match="above zero"):
            Budget(minutes, steps)


def test_training_says_what_is_wrong(clips, tmp_path):
    with pytest.raises(DiffvocError, match="no device 'nowhere'"):
        quick("melgan", clips, tmp_path, device="nowhere")
    with pytest.raises(DiffvocError, match="needs at least 1 of 8"):
        quick("melgan", clips, tmp_path, frames=4)
    with pytest.raises(DiffvocError, match="none held back"):
        quick("melgan", (clips[0], []), tmp_path)
    with pytest.raises(DiffvocError, match="did you mean 'melgan'"):
        quick("mellgan", clips, tmp_path)


def test_command_trains(tmp_path):
    """The script by itself, from another folder: a budget in minutes, two folders of data, and its ending."""
    command = [sys.executable, "-m", "tts_diffvoc_eval.baselines.train"]
    data = ["--data", CLIPS, "--data", CLIPS, "--held", "1"]
    rest = ["--output", "run", "--minutes", "0.02", "--batch", "1", "--frames", "8"]
    done = subprocess.run([*command, "melgan", *data, *rest], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "clips, " in done.stdout and "log-mel L1" in done.stdout.splitlines()[-1]
    assert baselines.is_saved(tmp_path / "run" / "vocoder")
    assert voices.card(tmp_path / "run" / "vocoder")["data"] == "clips, clips"
    wrong = subprocess.run([*command, "melgone", *data, *rest], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: there is no baseline 'melgone'")


# Coqui's own


def coqui_run(folder, kind="hifigan", model_params=None, **audio):
    """A run folder as Coqui's Trainer leaves it, with random weights; returns Coqui's model."""
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.vocoder import configs
    from TTS.vocoder.models import setup_model

    settings = BaseAudioConfig(**{"sample_rate": 22050, "mel_fmin": 0.0, "mel_fmax": 8000.0, **audio})
    config = getattr(configs, f"{kind.title().replace('_', '')}Config")(audio=settings)
    if model_params:
        config.generator_model_params.update(model_params)
    torch.manual_seed(0)
    model = setup_model(config)
    folder.mkdir(exist_ok=True)
    config.save_json(str(folder / "config.json"))
    state = {"config": config.to_dict(), "model": model.state_dict(), "step": 3, "model_loss": {"train_loss": 1.0}}
    torch.save(state, folder / "best_model.pth")
    return model.eval()


SMALL = {"upsample_initial_channel": 32}
LOG10 = {"log_func": "np.log10", "spec_gain": 20.0, "signal_norm": True, "symmetric_norm": True, "max_norm": 4.0}


def test_a_coqui_run_says_what_coqui_says(tmp_path, clips):
    """Our log-mel through ``from_zoo`` gives what Coqui's AudioProcessor and its GAN give for the same recording."""
    model = coqui_run(tmp_path / "mine", model_params=SMALL, **LOG10)
    waveform, _ = read_clip(clips[1][0], CONTRACT, 0.5)
    theirs = torch.from_numpy(model.ap.melspectrogram(waveform.numpy())).float().unsqueeze(0)
    wanted = model.inference(theirs)[0, 0, 5 * 256 :]
    for spec in (tmp_path / "mine", tmp_path / "mine" / "best_model.pth"):
        baseline = baselines.from_zoo(spec)
        made = baseline.synthesise(log_mel(waveform.unsqueeze(0), CONTRACT))[0]
        assert (made - wanted[: len(made)]).abs().max() < 1e-4 * wanted.abs().max() + 1e-6
    assert baseline.label == "Coqui mine" and baseline.note is None and baseline.family == "gan"
    assert baseline.deterministic and baseline.training == "by Coqui's program"


def test_a_coqui_wavernn_run(tmp_path, mel):
    coqui_run(tmp_path, "wavernn", signal_norm=False, log_func="np.log", spec_gain=1.0)
    baseline = baselines.from_zoo(tmp_path)
    assert baseline.family == "autoregressive" and not baseline.deterministic
    assert baseline.synthesise(mel[..., :1]).shape == (1, 256)


def test_another_spectrogram_is_approximated_and_said(tmp_path, mel):
    coqui_run(tmp_path, model_params=SMALL, sample_rate=24000, **{**LOG10, "mel_fmin": 50.0, "mel_fmax": 7600.0})
    baseline = baselines.from_zoo(tmp_path)
    assert "sample_rate 24000 instead of 22050" in baseline.note and "fmin 50" in baseline.note
    assert baseline.synthesise(mel).shape == (1, mel.shape[-1] * 256)


def test_statistics_are_read_without_running_code(tmp_path, mel):
    stats = {"mel_mean": np.full(80, -50.0), "mel_std": np.full(80, 20.0), "audio_config": {"hop_length": 256}}
    stats.update(linear_mean=np.zeros(513), linear_std=np.ones(513))
    np.save(tmp_path / "scale_stats.npy", stats, allow_pickle=True)
    coqui_run(tmp_path, model_params=SMALL, **LOG10)
    config = json.loads((tmp_path / "config.json").read_text())
    config["audio"]["stats_path"] = "elsewhere/scale_stats.npy"
    (tmp_path / "config.json").write_text(json.dumps(config))
    baseline = baselines.from_zoo(tmp_path)
    decibels = 20 / math.log(10) * mel
    torch.testing.assert_close(convert(mel, baseline.mel), (decibels + 50) / 20, atol=1e-3, rtol=0)

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    np.save(tmp_path / "scale_stats.npy", {"mel_mean": Evil(), "mel_std": 1}, allow_pickle=True)
    with pytest.raises(DiffvocError, match="cannot be read as mean and deviation"):
        baselines.from_zoo(tmp_path)
    assert not (tmp_path / "touched").exists()
    (tmp_path / "scale_stats.npy").unlink()
    with pytest.raises(DiffvocError, match="which is not there"):
        baselines.from_zoo(tmp_path)


def test_bad_words_of_the_zoo(tmp_path, monkeypatch):
    from TTS.utils.manage import ModelManager

    def offline(self, name):
        raise ConnectionError("no route")

    def halfway(self, name):
        raise ValueError("no model file")

    for download, words in ((offline, "the first time needs a network"), (halfway, "delete .*hifigan_v2 to have it")):
        monkeypatch.setattr(ModelManager, "download_model", download)
        with pytest.raises(DiffvocError, match=words):
            baselines.from_zoo("vocoder_models/en/ljspeech/hifigan_v2")
    with pytest.raises(DiffvocError, match="closest names are vocoder_models/en/ljspeech/hifigan_v2"):
        baselines.from_zoo("vocoder_models/en/ljspeech/hifigan_v3")
    with pytest.raises(DiffvocError, match="there is no"):
        baselines.from_zoo(tmp_path / "nowhere")
    with pytest.raises(DiffvocError, match="has no config.json"):
        baselines.from_zoo(tmp_path)
    config = tmp_path / "config.json"
    for values, words in (
        ({"model": "wavegrad"}, "tts-diffvoc import"),
        ({"model": "vits"}, "of the model vits"),
        ({"generator_model": "hifigan_generator", "generator_model_params": {"pre_linear": 9}}, "other features"),
    ):
        config.write_text(json.dumps(values))
        (tmp_path / "best_model.pth").touch()
        with pytest.raises(DiffvocError, match=words):
            baselines.from_zoo(tmp_path)
    coqui_run(tmp_path / "other", model_params=SMALL)
    (tmp_path / "other" / "best_model.pth").write_bytes(pickle.dumps(Path()))
    with pytest.raises(DiffvocError, match="best_model.pth"):
        baselines.from_zoo(tmp_path / "other")
    torch.save({"model": {"conv_pre.bias": torch.zeros(1)}}, tmp_path / "other" / "best_model.pth")
    with pytest.raises(DiffvocError, match="does not belong"):
        baselines.from_zoo(tmp_path / "other")
    (tmp_path / "other" / "best_model.pth").unlink()
    with pytest.raises(DiffvocError, match="has no checkpoint"):
        baselines.from_zoo(tmp_path / "other")


def test_levels_convert_exactly_and_spectrograms_nearly(mel):
    assert convert(mel, CONTRACT) is mel and not differences(CONTRACT)
    level = MelConfig(log_base="10", floor=1e-8, scale=2.0, shift=1.0)
    torch.testing.assert_close(convert(mel, level), mel / math.log(10) * 2 + 1, atol=1e-4, rtol=0)
    other = MelConfig(fmin=50.0, fmax=7600.0)
    assert differences(other) == ["fmin 50.0 instead of 0.0", "fmax 7600.0 instead of 8000.0"]
    assert (convert(mel, other) - mel).abs().mean() < 1.0

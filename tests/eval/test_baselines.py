"""Baselines: built, aligned, kept on disk, and read from Coqui's own folders."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tts_diffvoc import voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.training.corpus import scan
from tts_diffvoc.training.crops import read_clip
from tts_diffvoc_eval import folders
from tts_diffvoc_eval.baselines import NAMES, build, configs, coqui, folder, gan, wavernn
from tts_diffvoc_eval.baselines.networks import fold_weight_norm, generator
from tts_diffvoc_eval.mels import MEL, convert, differences

CLIPS = Path(__file__).resolve().parents[2] / "eval" / "tts_diffvoc_eval" / "clips"
GANS = [name for name in NAMES if name != "wavernn"]
FLOOR = math.log(MEL.floor)


@pytest.fixture(scope="module")
def clips():
    """Recordings to train on, and one held back, with another sentence."""
    return scan(CLIPS, MEL, listen=False).split(1)


@pytest.fixture(scope="module")
def mel(clips):
    return read_clip(clips[1][0], MEL, 0.5)[1].unsqueeze(0)


def burst(frames=32, at=16):
    """A mel of near silence, and the same with a loud frame at ``at``."""
    quiet = torch.full((1, 80, frames), FLOOR + 2)
    loud = quiet.clone()
    loud[:, :, at] = 0.0
    return quiet, loud


# Built


@pytest.mark.parametrize("name", GANS)
def test_a_loud_frame_is_heard_where_it_is(name):
    """What a loud frame changes is centred on that frame's samples: the network neither delays nor cuts."""
    system = build(name, "small")
    torch.manual_seed(1)
    quiet, loud = (system.synthesise(one.expand(2, -1, -1), seed=3) for one in burst())
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1)), "the global random numbers are left alone"
    assert loud.shape == (2, 32 * 256) and loud.dtype == torch.float32 and loud.abs().max() <= 1
    change = (loud[0] - quiet[0]).square()
    centre = float((change * torch.arange(len(change))).sum() / change.sum())
    assert abs(centre - 16.5 * 256) < 256
    assert torch.equal(quiet, system.synthesise(burst()[0].expand(2, -1, -1), seed=3))
    assert torch.equal(quiet, system.synthesise(burst()[0].expand(2, -1, -1), seed=4)) == system.deterministic
    assert not any(torch.nn.utils.parametrize.is_parametrized(module) for module in system.module.modules())


@pytest.mark.parametrize("fold", [None, (3, 1)])
def test_what_wavernn_hears_is_where_it_is(fold):
    """With the same random numbers its samples differ from a loud frame on, or up to three frames before it: it sees
    two frames ahead. Pieces side by side come in order."""
    network, made = build("wavernn", "small").module, []
    for one in burst(8, 6):
        torch.manual_seed(0)
        made.append(wavernn.generate(network, one, fold)[0])
    first = int((made[1] != made[0]).nonzero()[0])
    assert 3 * 256 <= first <= 6 * 256 and made[0].shape == (8 * 256,)


def test_sizes_are_those_of_the_papers():
    """Parameters of the generators: HiFi-GAN's table 1, and what MelGAN's and WaveRNN's authors say, in millions."""

    def count(name, size):
        baseline = configs.find(name)
        with torch.device("meta"):
            network = fold_weight_norm(generator(baseline.kind, baseline.size(size).network))
        return sum(p.numel() for p in network.parameters()) / 1e6

    papers = {"hifigan-v1": 13.9, "hifigan-v2": 0.9, "melgan": 4.3, "parallel-wavegan": 1.3}
    assert {name: round(count(name, "published"), 1) for name in papers} == papers
    assert all(count(name, "small") < count(name, "published") / 1.5 for name in NAMES)


def test_usual_sizes():
    assert build("wavernn").label == "WaveRNN (small) (untrained)"
    assert build("hifigan-v2").label == "HiFi-GAN V2 (untrained)"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: build("hifigan-v3"), "the closest names are hifigan-v"),
        (lambda: build("lpcnet"), "some names are diffwave-waveform"),
        (lambda: build("melgan", "tiny"), "published or small"),
        (lambda: generator("hifigan", {"in_channels": 80}), "no hifigan network"),
        (lambda: generator("vits", {}), "no kind of network"),
        (lambda: build("melgan", "small").synthesise(torch.zeros(1, 79, 9), 0), "takes"),
        (lambda: build("melgan", "small").synthesise(torch.full((1, 80, 9), math.nan), 0), "nan"),
    ],
)
def test_bad_words(call, words):
    with pytest.raises(DiffvocError, match=words):
        call()


def test_wavernn_samples_as_coqui_does(mel):
    """The same modules in the same order with the same random numbers as ``Wavernn.inference``."""
    network = generator("wavernn", configs.find("wavernn").small.network).eval()
    short = mel[..., :2]
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


# Discriminators


def test_narrower_discriminator_has_fewer_channels_and_the_same_scores():
    with torch.device("meta"):
        wide, narrow = (gan.make_discriminator("hifigan", narrower=by) for by in (1, 16))
        shapes = [[score.shape for score in one(torch.randn(1, 1, 2048))[0]] for one in (wide, narrow)]
    count = [sum(p.numel() for p in one.parameters()) for one in (wide, narrow)]
    assert count[1] < count[0] / 100
    assert shapes[0] == shapes[1]


def test_the_spectral_discriminator_of_univnet_teaches_the_generator():
    waveform = torch.randn(1, 1, 4096, requires_grad=True)
    gan.make_discriminator("univnet", narrower=8).msd(waveform)[0][0].sum().backward()
    assert waveform.grad is not None and waveform.grad.abs().sum() > 0


# Kept on disk


@pytest.mark.parametrize("name", ["melgan", "univnet", "vocos", "wavernn"])
def test_saved_and_loaded_says_the_same(name, tmp_path, mel):
    baseline = configs.find(name)
    network = generator(baseline.kind, baseline.small.network)
    path = tmp_path / "mine" / "vocoder"
    folder.save(network, path, name, "small", MEL, "3 CPU minutes", "somebody")
    assert folders.is_saved(path, folder.FORMAT) and not voices.is_vocoder(path)
    assert voices.card(path)["data"] == "somebody"
    loaded = folder.load(path)
    assert (loaded.name, loaded.training) == ("mine", "3 CPU minutes")
    assert loaded.label == baseline.label_of("small") and loaded.family == baseline.family and loaded.digest
    for key, value in fold_weight_norm(network).state_dict().items():
        torch.testing.assert_close(loaded.module.state_dict()[key], value, atol=1e-3, rtol=1e-3)
    size = (path / "model.safetensors").stat().st_size
    assert size < 2.4 * loaded.parameters + 100_000  # two bytes a number
    assert loaded.synthesise(mel[..., :1].repeat(1, 1, 8), 1).shape == (1, 8 * 256)


def test_bad_folders(tmp_path):
    def save(name):
        baseline = configs.find(name)
        folder.save(generator(baseline.kind, baseline.small.network), tmp_path / name, name, "small", MEL)

    with pytest.raises(DiffvocError, match="there is no folder"):
        folder.load(tmp_path / "nowhere")
    with pytest.raises(DiffvocError, match="is not the folder of a baseline"):
        folder.load(tmp_path)
    save("melgan")
    save("hifigan-v2")
    weights = tmp_path / "melgan" / "model.safetensors"
    whole = weights.read_bytes()
    for content, words in (
        (whole[:-100], "cannot be read"),
        ((tmp_path / "hifigan-v2" / "model.safetensors").read_bytes(), "does not belong to its config.json"),
    ):
        weights.write_bytes(content)
        with pytest.raises(DiffvocError, match=words):
            folder.load(tmp_path / "melgan")
    (tmp_path / "melgan" / "config.json").write_text(json.dumps({"format": folder.FORMAT, "name": "melgan"}))
    with pytest.raises(DiffvocError, match="lacks"):
        folder.load(tmp_path / "melgan")
    (tmp_path / "file").touch()
    with pytest.raises(DiffvocError, match="cannot be written"):
        folder.save(
            generator("melgan", configs.find("melgan").small.network), tmp_path / "file" / "a", "melgan", "small", MEL
        )


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
    weights = model.state_dict()
    for name in [name for name, value in weights.items() if name.startswith("model_d.") and value.dim() > 1]:
        del weights[name]  # 280 MB that nobody reads
    state = {"config": config.to_dict(), "model": weights, "step": 3, "model_loss": {"train_loss": 1.0}}
    torch.save(state, folder / "best_model.pth")
    return model.eval()


SMALL = {"upsample_initial_channel": 32}
LOG10 = {"log_func": "np.log10", "spec_gain": 20.0, "signal_norm": True, "symmetric_norm": True, "max_norm": 4.0}


def test_a_coqui_run_says_what_coqui_says(tmp_path, clips):
    """Our log-mel through ``coqui.load`` gives what Coqui's AudioProcessor and its GAN give for the same recording."""
    model = coqui_run(tmp_path / "mine", model_params=SMALL, **LOG10)
    waveform, _ = read_clip(clips[1][0], MEL, 0.5)
    theirs = torch.from_numpy(model.ap.melspectrogram(waveform.numpy())).float().unsqueeze(0)
    wanted = model.inference(theirs)[0, 0, 5 * 256 :]
    for spec in (tmp_path / "mine", tmp_path / "mine" / "best_model.pth"):
        system = coqui.load(spec)
        made = system.synthesise(log_mel(waveform.unsqueeze(0), MEL), 0)[0]
        assert (made - wanted[: len(made)]).abs().max() < 1e-4 * wanted.abs().max() + 1e-6
    assert system.label == "Coqui mine" and system.note is None and system.family == "gan"
    assert system.deterministic and system.training == "by Coqui's program"


def test_a_coqui_wavernn_run(tmp_path, mel):
    coqui_run(tmp_path, "wavernn", signal_norm=False, log_func="np.log", spec_gain=1.0)
    system = coqui.load(tmp_path)
    assert system.family == "autoregressive" and not system.deterministic
    assert system.synthesise(mel[..., :1], 0).shape == (1, 256)


def test_another_spectrogram_is_approximated_and_said(tmp_path, mel):
    coqui_run(tmp_path, model_params=SMALL, sample_rate=24000, **{**LOG10, "mel_fmin": 50.0, "mel_fmax": 7600.0})
    system = coqui.load(tmp_path)
    assert "sample_rate 24000 Hz against 22050 Hz" in system.note and "fmin 50" in system.note
    assert system.synthesise(mel[..., :8], 0).shape == (1, 8 * 256)


def test_statistics_are_read_without_running_code(tmp_path, mel):
    stats = {"mel_mean": np.full(80, -50.0), "mel_std": np.full(80, 20.0), "audio_config": {"hop_length": 256}}
    stats.update(linear_mean=np.zeros(513), linear_std=np.ones(513))
    np.save(tmp_path / "scale_stats.npy", stats, allow_pickle=True)
    coqui_run(tmp_path, model_params=SMALL, **LOG10)
    config = json.loads((tmp_path / "config.json").read_text())
    config["audio"]["stats_path"] = "elsewhere/scale_stats.npy"
    (tmp_path / "config.json").write_text(json.dumps(config))
    system = coqui.load(tmp_path)
    decibels = 20 / math.log(10) * mel
    torch.testing.assert_close(convert(mel, system.synthesise.args[1]), (decibels + 50) / 20, atol=1e-3, rtol=0)

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    np.save(tmp_path / "scale_stats.npy", {"mel_mean": Evil(), "mel_std": 1}, allow_pickle=True)
    with pytest.raises(DiffvocError, match="cannot be read as mean and deviation"):
        coqui.load(tmp_path)
    assert not (tmp_path / "touched").exists()
    (tmp_path / "scale_stats.npy").unlink()
    with pytest.raises(DiffvocError, match="which is not there"):
        coqui.load(tmp_path)


def test_bad_words_of_the_zoo(tmp_path, monkeypatch):
    from TTS.utils.manage import ModelManager

    def offline(self, name):
        raise ConnectionError("no route")

    def halfway(self, name):
        raise ValueError("no model file")

    for download, words in ((offline, "the first time needs a network"), (halfway, "delete .*hifigan_v2 to have it")):
        monkeypatch.setattr(ModelManager, "download_model", download)
        with pytest.raises(DiffvocError, match=words):
            coqui.load("vocoder_models/en/ljspeech/hifigan_v2")
    with pytest.raises(DiffvocError, match="closest names are vocoder_models/en/ljspeech/hifigan_v2"):
        coqui.load("vocoder_models/en/ljspeech/hifigan_v3")
    with pytest.raises(DiffvocError, match="there is no"):
        coqui.load(tmp_path / "nowhere")
    with pytest.raises(DiffvocError, match="has no config.json"):
        coqui.load(tmp_path)
    config = tmp_path / "config.json"
    for values, words in (
        ({"model": "wavegrad"}, "tts-diffvoc import"),
        ({"model": "vits"}, "of the model vits"),
        ({"generator_model": "hifigan_generator", "generator_model_params": {"pre_linear": 9}}, "other features"),
    ):
        config.write_text(json.dumps(values))
        (tmp_path / "best_model.pth").touch()
        with pytest.raises(DiffvocError, match=words):
            coqui.load(tmp_path)
    coqui_run(tmp_path / "other", model_params=SMALL)
    (tmp_path / "other" / "best_model.pth").write_bytes(pickle.dumps(Path()))
    with pytest.raises(DiffvocError, match="best_model.pth"):
        coqui.load(tmp_path / "other")
    torch.save({"model": {"conv_pre.bias": torch.zeros(1)}}, tmp_path / "other" / "best_model.pth")
    with pytest.raises(DiffvocError, match="does not belong"):
        coqui.load(tmp_path / "other")
    (tmp_path / "other" / "best_model.pth").unlink()
    with pytest.raises(DiffvocError, match="holds none of"):
        coqui.load(tmp_path / "other")


def test_levels_convert_exactly_and_spectrograms_nearly(mel):
    assert convert(mel, MEL) is mel and not differences(MEL)
    level = MelConfig(log_base="10", floor=1e-8, scale=2.0, shift=1.0)
    torch.testing.assert_close(convert(mel, level), mel / math.log(10) * 2 + 1, atol=1e-4, rtol=0)
    other = MelConfig(fmin=50.0, fmax=7600.0)
    assert differences(other) == ["fmin 50 Hz against 0 Hz", "fmax 7600 Hz against 8000 Hz"]
    assert (convert(mel, other) - mel).abs().mean() < 1.0

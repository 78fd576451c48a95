"""Mels of real, small, untrained Coqui models and of the bundled voice, led along a corpus made here."""

import json
import os
import zlib

import numpy as np
import pytest
import soundfile
import torch

from tts_diffvoc import cli
from tts_diffvoc.audio import read_audio
from tts_diffvoc.mel import MelConfig, log_mel

TEXTS = {
    "one": "hello there",
    "two": "a little longer than that",
    "sub/three": "no, it is not",
    "four": "good morning to all of you",
    "five": "so be it",
}
SECONDS = {"one": 0.55, "two": 1.1, "sub/three": 0.83, "four": 1.31, "five": 0.6}
RATES = {"four": 16000}
LAYERS = {"hidden_channels_ffn": 16, "num_heads": 1, "num_layers": 1, "dropout_p": 0.0}
MODELS = ("tacotron2", "tacotron", "fast_pitch", "fastspeech2", "speedy_speech", "glow_tts", "align_tts")


def hum(name: str) -> np.ndarray:
    """A syllabic hum of the clip's own pitch, in a little noise."""
    rate = RATES.get(name, 22050)
    index = list(TEXTS).index(name)
    time = np.arange(int(SECONDS[name] * rate)) / rate
    tone = sum(np.sin(2 * np.pi * k * (110 + 20 * index) * time) / k for k in range(1, 20))
    noise = np.random.default_rng(index).normal(size=time.size)
    return (0.1 * tone * (1 + np.sin(2 * np.pi * 4 * time)) + 0.003 * noise).astype(np.float32)


def write_corpus(folder, names=TEXTS):
    for name in names:
        path = folder / "wavs" / f"{name}.{'flac' if name == 'two' else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, hum(name), RATES.get(name, 22050))
    lines = [f"{name}|{text.upper()}|{text}" for name, text in TEXTS.items() if name in names]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def build(kind: str):
    """A Coqui model of the kind, in decibels as Coqui's default settings have them."""
    from TTS.config import BaseAudioConfig
    from TTS.tts.configs.align_tts_config import AlignTTSArgs, AlignTTSConfig
    from TTS.tts.configs.fast_pitch_config import FastPitchConfig
    from TTS.tts.configs.fastspeech2_config import Fastspeech2Config
    from TTS.tts.configs.glow_tts_config import GlowTTSConfig
    from TTS.tts.configs.shared_configs import CapacitronVAEConfig, GSTConfig
    from TTS.tts.configs.speedy_speech_config import SpeedySpeechConfig
    from TTS.tts.configs.tacotron2_config import Tacotron2Config
    from TTS.tts.configs.tacotron_config import TacotronConfig
    from TTS.tts.models import setup_model
    from TTS.tts.models.forward_tts import ForwardTTSArgs

    shared = {"use_phonemes": False, "audio": BaseAudioConfig(mel_fmax=8000.0, do_trim_silence=False)}
    sizes = {"hidden_channels": 16, "encoder_params": LAYERS, "decoder_params": LAYERS}
    flow = {"hidden_channels_enc": 8, "hidden_channels_dec": 8, "hidden_channels_dp": 8, "num_flow_blocks_dec": 2}
    flow |= {"num_block_layers": 1, "encoder_params": {**LAYERS, "kernel_size": 3, "rel_attn_window_size": None}}
    flow["encoder_params"] |= {"input_length": None}
    speakers = {"use_speaker_embedding": True, "speakers": ["ann", "bob"]}
    small = {"r": 2, "memory_size": 4, "out_channels": 513}
    energy = {"use_energy": True, "energy_predictor_hidden_channels": 16}
    made = {
        "tacotron2": lambda: Tacotron2Config(r=1, **shared),
        "tacotron2 r2": lambda: Tacotron2Config(r=2, double_decoder_consistency=True, ddc_r=4, **shared),
        "tacotron": lambda: TacotronConfig(r=3, memory_size=-1, out_channels=513, **shared),
        "tacotron with style": lambda: TacotronConfig(use_gst=True, gst=GSTConfig(), **small, **speakers, **shared),
        "tacotron with capacitron": lambda: TacotronConfig(
            use_capacitron_vae=True, capacitron_vae=CapacitronVAEConfig(), **small, **shared
        ),
        "fast_pitch of two": lambda: FastPitchConfig(
            model_args=ForwardTTSArgs(**sizes, use_speaker_embedding=True), **speakers, **shared
        ),
        "fast_pitch": lambda: FastPitchConfig(model_args=ForwardTTSArgs(**sizes), **shared),
        "fastspeech2": lambda: Fastspeech2Config(model_args=ForwardTTSArgs(**sizes, **energy), **shared),
        "speedy_speech": lambda: SpeedySpeechConfig(
            model_args=ForwardTTSArgs(**sizes, use_pitch=False, use_aligner=False), **shared
        ),
        "glow_tts": lambda: GlowTTSConfig(**flow, **shared),
        "align_tts": lambda: AlignTTSConfig(
            model_args=AlignTTSArgs(**sizes, hidden_channels_dp=16), phase_start_steps=None, **shared
        ),
    }
    torch.manual_seed(0)
    model = setup_model(made[kind]())
    with torch.no_grad():  # what is zero at first would hide mistakes
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Makes, once, a folder with an untrained model of a kind."""
    made = {"ada": "ada"}

    def folder(kind):
        if kind not in made:
            model, made[kind] = build(kind), tmp_path_factory.mktemp(kind.replace(" ", "_"))
            state = {"model": model.state_dict(), "config": model.config.to_dict()}
            torch.save(state, made[kind] / "best_model.pth")
            model.config.save_json(made[kind] / "config.json")
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def extractors(folders):
    """Makes, once, an extractor of a kind."""
    from tts_diffvoc.coqui.gta.extraction import Extractor

    made = {}

    def extractor(kind):
        if kind not in made:
            made[kind] = Extractor(str(folders(kind)), "diffwave")
        return made[kind]

    yield extractor
    made.clear()


def prepared(extractor, corpus, names=TEXTS, speaker=None):
    from tts_diffvoc.coqui.gta.corpus import Clip, find_clip

    clips = [Clip(f"wavs/{name}", find_clip(corpus / "wavs" / f"{name}.wav"), TEXTS[name], speaker) for name in names]
    utterances = [extractor.prepare(clip) for clip in clips]
    extractor.adapter.fit(utterances)
    return utterances


def run(folder, corpus, out, *more):
    return cli.main(["extract-mels", "--model", str(folder), "--data", str(corpus), "-o", str(out), *map(str, more)])


def mels(folder):
    """The mels in a folder by their clips' names; as the clips, they lie in wavs/."""
    found = sorted(folder.rglob("*.npy"))
    return {p.relative_to(folder / "wavs").with_suffix("").as_posix(): np.load(p) for p in found}


@pytest.mark.parametrize("kind", [*MODELS, "ada"])
def test_each_clip_has_its_mel_whatever_the_batch(kind, folders, corpus, extractors, tmp_path, capsys):
    assert run(folders(kind), corpus, tmp_path / "mels", "--batch-size", 3) == 0, capsys.readouterr().err
    made = mels(tmp_path / "mels")
    assert sorted(made) == sorted(TEXTS)
    for name, mel in made.items():
        samples = -(-len(hum(name)) * 22050 // RATES.get(name, 22050))
        assert mel.shape == (80, samples // 256) and mel.dtype == np.float32 and np.isfinite(mel).all()
    facts = json.loads((tmp_path / "mels" / "mels.json").read_text())
    assert facts["clips"] == 5 and facts["skipped"] == {} and facts["identity"]["mel"] == MelConfig().to_dict()
    assert facts["log_mel_l1"]["clips"] == 5 and facts["log_mel_l1"]["mean"] > 0
    assert "5 mels" in capsys.readouterr().out
    extractor = extractors(kind)
    for utterance in prepared(extractor, corpus)[:2]:
        alone = extractor.extract([utterance])[0].numpy()
        np.testing.assert_allclose(made[utterance.name.removeprefix("wavs/")], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["tacotron2", "ada"])
def test_the_recording_becomes_the_vocoders_mel_and_the_models(kind, extractors, corpus):
    """The acoustic model's mel of the recording, converted as at synthesis, is the vocoder's own."""
    extractor = extractors(kind)
    for utterance in prepared(extractor, corpus):
        converted = extractor.convert(utterance.mel)[0][:, : utterance.own.shape[1]]
        # Coqui's decibels stop at its floor of -100 dB, a little above the vocoder's
        audible = utterance.own > -9
        torch.testing.assert_close(converted[audible], utterance.own[audible], atol=5e-3, rtol=0)


ATTENTION = ("tacotron2", "tacotron2 r2", "tacotron", "tacotron with style", "tacotron with capacitron")


@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_models_do_what_coquis_forward_does(kind, extractors, corpus):
    extractor = extractors(kind)
    model = extractor.acoustic
    for utterance in prepared(extractor, corpus, ["one", "four"], speaker="bob"):
        length = len(utterance.mel) // model.decoder.r * model.decoder.r
        utterance.mel = utterance.mel[:length]
        symbols, frames = utterance.lengths()
        with torch.no_grad():
            torch.manual_seed(zlib.crc32(utterance.name.encode()))
            inputs = utterance.symbols[None], symbols, utterance.mel[None], frames, utterance.conditioning()
            expected = model(*inputs)["model_outputs"][0]
            if "tacotron2" not in kind:
                expected = torch.from_numpy(extractor.processor.out_linear_to_mel(expected.numpy().T).T)
        torch.testing.assert_close(extractor.adapter.run([utterance])[0], expected, atol=1e-4, rtol=0)


def test_a_step_of_tacotron_2_sees_the_recording_before_it(extractors, corpus):
    extractor = extractors("tacotron2 r2")
    assert extractor.acoustic.decoder.r == 2
    utterance = prepared(extractor, corpus, ["two"])[0]
    before = extractor.adapter.run([utterance])[0]
    utterance.mel = utterance.mel.clone()
    utterance.mel[50:] = utterance.mel[:-50].flip(0)[: len(utterance.mel) - 50]
    changed = (extractor.adapter.run([utterance])[0] - before).abs().amax(1)
    assert changed[:40].max() < 1e-5  # but for the ten frames that the post-net looks ahead
    assert changed[52:].min() > 1e-5


def test_dropout_in_a_prenet_is_the_same_at_each_run(extractors, corpus):
    extractor = extractors("tacotron2")
    prenet = extractor.acoustic.decoder.prenet
    utterances = prepared(extractor, corpus, ["one", "five"])
    prenet.dropout_at_inference = True
    try:
        together = extractor.extract(utterances)
        torch.rand(1)
        alone = [extractor.extract([u])[0] for u in utterances]
    finally:
        prenet.dropout_at_inference = False
    assert all(torch.equal(a, b) for a, b in zip(together, alone))
    assert not torch.allclose(together[0], extractor.extract(utterances)[0], atol=1e-3)


def test_glow_tts_gives_the_mel_of_the_aligned_means(extractors, corpus):
    """Coqui's inference_with_MAS gives their latent variable instead, as model_outputs."""
    extractor = extractors("glow_tts")
    model = extractor.acoustic
    for utterance in prepared(extractor, corpus, ["one", "four"]):
        symbols, frames = utterance.lengths()
        coqui = model.inference_with_MAS(utterance.symbols[None], symbols, utterance.mel[None], frames)
        mel = extractor.adapter.run([utterance])[0]
        with torch.no_grad():
            latent, _ = model.decoder(mel.T[None], torch.ones(1, 1, len(mel)))
        torch.testing.assert_close(latent, coqui["y_mean"].transpose(1, 2), atol=1e-3, rtol=0)
        assert len(mel) == len(utterance.mel) // 2 * 2
        assert not torch.allclose(mel, latent[0].T, atol=1e-2)


def test_the_durations_of_fast_pitch_are_its_aligners(extractors, corpus):
    extractor = extractors("fast_pitch")
    utterance = prepared(extractor, corpus, ["four"])[0]
    seen = {}
    hook = extractor.acoustic.register_forward_hook(lambda m, args, kwargs, out: seen.update(out), with_kwargs=True)
    extractor.adapter.run([utterance])
    hook.remove()
    assert int(seen["o_alignment_dur"].sum()) == len(utterance.mel)
    pitch = seen["pitch_avg_gt"]
    assert pitch.shape == (1, 1, len(utterance.symbols)) and pitch.abs().max() < 4 and pitch.abs().max() > 0


def test_a_model_of_several_speakers_is_told_which(folders, corpus, tmp_path, capsys):
    folder = folders("fast_pitch of two")
    assert run(folder, corpus, tmp_path / "ann", "--speaker", "ann") == 0
    lines = [f"wavs/{name}.wav|{TEXTS[name]}|{speaker}" for name, speaker in (("one", "ann"), ("five", "bob"))]
    (corpus / "list.csv").write_text("\n".join(["audio_file|text|speaker_name", *lines]))
    assert run(folder, corpus, tmp_path / "own", "--formatter", "coqui", "--metadata", "list.csv") == 0
    ann, own = mels(tmp_path / "ann"), mels(tmp_path / "own")
    assert own.keys() == {"one", "five"}
    assert np.abs(ann["five"] - own["five"]).max() > 1e-3
    # pitch is relative to the corpus, which is another one here
    assert np.abs(ann["one"] - own["one"]).mean() < np.abs(ann["five"] - own["five"]).mean()
    capsys.readouterr()
    assert run(folder, corpus, tmp_path / "nobody", "--speaker", "eve") == 2
    assert "the model has no speaker 'eve'; give --speaker, one of ann, bob" in capsys.readouterr().err


def test_the_search_finds_known_durations(extractors, corpus):
    """The bundled voice's own mel under durations unlike those that it predicts."""
    from tts_diffvoc.coqui.gta.prosody import follow

    extractor = extractors("ada")
    model, utterance = extractor.acoustic, prepared(extractor, corpus, ["four"])[0]
    with torch.no_grad():
        frames = model.inference(utterance.symbols[None])["durations"][0]
        ratio = 0.6 + 1.2 * torch.rand(len(frames), generator=torch.Generator().manual_seed(0))
        truth = (frames * ratio).round().clamp_min(2).long()
        count = torch.tensor([int(truth.sum())])
        symbols = utterance.lengths()[0]
        utterance.mel = model(utterance.symbols[None], symbols, count, dr=truth[None])["model_outputs"][0]
        found = follow(model, utterance)
    assert found.sum() == truth.sum()
    late = (found.cumsum(0) - truth.cumsum(0)).abs().double()[:-2]  # the last sound dies away into the last break
    assert late.mean() < 1.5 and late.max() <= 6


@pytest.mark.parametrize("hertz", [90.0, 150.0, 220.0, 330.0])
def test_pitch_is_measured(hertz):
    from tts_diffvoc.coqui.gta.prosody import pitch_of

    time = torch.arange(22050) / 22050
    tone = torch.stack([torch.sin(2 * torch.pi * k * hertz * time) / k for k in range(1, 12)]).sum(0)
    pitch = pitch_of(torch.cat([0.1 * tone, torch.zeros(11025)]), 22050, 256, 130)
    assert pitch.shape == (130,)
    assert (pitch[3:80] / hertz - 1).abs().max() < 0.03 and pitch[95:].eq(0).all()


def test_a_second_run_goes_on_where_the_first_stopped(folders, corpus, tmp_path, capsys):
    folder, out = folders("fast_pitch"), tmp_path / "mels"
    assert run(folder, corpus, out) == 0
    whole, cut = out / "wavs" / "one.npy", out / "wavs" / "sub" / "three.npy"
    expected = cut.read_bytes()
    cut.write_bytes(expected[:500])
    (out / "wavs" / "five.npy").unlink()
    os.utime(whole, (1, 1))
    assert run(folder, corpus, out) == 0
    assert "2 mels" in capsys.readouterr().out
    assert whole.stat().st_mtime == 1 and cut.read_bytes() == expected and (out / "wavs" / "five.npy").is_file()
    assert not list(out.rglob("*.part"))
    assert json.loads((out / "mels.json").read_text())["clips"] == 5
    assert run("ada", corpus, out) == 2
    assert "another acoustic_model and durations" in capsys.readouterr().err
    assert run("ada", corpus, out, "--overwrite") == 0
    assert whole.stat().st_mtime > 1


def test_extraction_from_python(extractors, corpus, tmp_path, capsys):
    from tts_diffvoc.coqui.gta.corpus import read_corpus
    from tts_diffvoc.coqui.gta.extraction import extract_mels

    clips = read_corpus(corpus)
    outcome = extract_mels(extractors("ada"), clips, tmp_path, batch_size=2)
    assert outcome.made == len(mels(tmp_path)) == 5 and not outcome.skipped and outcome.mean_difference > 0
    assert "extracting: 100%" in capsys.readouterr().err
    again = extract_mels(extractors("ada"), clips, tmp_path)
    assert again.there == 5 and again.made == 0 and again.mean_difference is None


def test_clips_that_cannot_be_used_are_left_out_and_told(folders, tmp_path, capsys):
    corpus = write_corpus(tmp_path / "corpus", ["one", "five"])
    soundfile.write(corpus / "wavs" / "short.wav", np.zeros(300, dtype=np.float32), 22050)
    soundfile.write(corpus / "wavs" / "silent.wav", np.zeros(9000, dtype=np.float32), 22050)
    soundfile.write(corpus / "wavs" / "empty.wav", hum("one"), 22050)
    soundfile.write(corpus / "wavs" / "long.wav", hum("one"), 22050)
    (corpus / "wavs" / "broken.wav").write_bytes(b"RIFF")
    more = {"short": "a", "silent": "b", "empty": "", "long": "too many letters " * 20, "gone": "d", "broken": "e"}
    with (corpus / "metadata.csv").open("a") as file:
        file.writelines(f"{name}|{text}|{text}\n" for name, text in more.items())
        file.write("one|again\n|no name\n")
    assert run(folders("glow_tts"), corpus, tmp_path / "mels") == 0
    assert sorted(mels(tmp_path / "mels")) == ["five", "one"]
    skipped = json.loads((tmp_path / "mels" / "mels.json").read_text())["skipped"]
    told = {
        "short": "at least 513 are needed",
        "silent": "silent from beginning to end",
        "empty": "transcript is empty",
        "long": "339 symbols and the clip only 48 frames",
        "gone": "is not there",
        "one (9)": "is listed twice",
        "line 10": "it has no name",
        "broken": "cannot be read as audio",
    }
    assert skipped.keys() == {f"wavs/{name}" if "line" not in name else name for name in told}
    assert all(reason in skipped.get(f"wavs/{name}", skipped.get(name)) for name, reason in told.items())
    assert "left out wavs/gone: " in capsys.readouterr().err


def test_durations_may_be_given(extractors, corpus, tmp_path, capsys):
    from tts_diffvoc.coqui.gta.prosody import whole

    utterances = {u.name.removeprefix("wavs/"): u for u in prepared(extractors("ada"), corpus)}
    for name, utterance in utterances.items():
        even = whole(torch.ones(len(utterance.symbols), dtype=torch.float64), len(utterance.mel))
        path = tmp_path / "durations" / "wavs" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, even[:-1] if name == "one" else even)
    out = tmp_path / "mels"
    assert run("ada", corpus, out, "--durations", tmp_path / "durations") == 0
    assert "left out wavs/one: " in capsys.readouterr().err
    assert sorted(mels(out)) == sorted(set(TEXTS) - {"one"})
    utterance = utterances["four"]
    searched = extractors("ada").extract([utterance])[0]
    utterance.durations = torch.from_numpy(np.load(tmp_path / "durations" / "wavs" / "four.npy"))
    given = extractors("ada").extract([utterance])[0].numpy()
    np.testing.assert_allclose(np.load(out / "wavs" / "four.npy"), given, atol=1e-4)
    assert np.abs(given - searched.numpy()).mean() > 0.05


def test_coquis_formatters_serve(folders, tmp_path):
    corpus = write_corpus(tmp_path / "corpus", ["one", "two", "sub/three"])
    lines = [f"wavs/{name}.wav|{TEXTS[name]}|someone" for name in ("one", "sub/three")]
    (corpus / "list.csv").write_text("\n".join(["audio_file|text|speaker_name", *lines]))
    assert run(folders("fast_pitch"), corpus, tmp_path / "mels", "--formatter", "coqui", "--metadata", "list.csv") == 0
    assert sorted(mels(tmp_path / "mels")) == ["one", "sub/three"]


def test_a_level_that_the_model_is_trained_at_is_undone(extractors, corpus):
    """A model trained on recordings at one loudness, a vocoder that gives back the recording's own."""
    extractor = extractors("ada")
    plain = prepared(extractor, corpus, ["one"])[0]
    extractor.processor.do_rms_norm, extractor.processor.db_level = True, -15.0
    try:
        loud = prepared(extractor, corpus, ["one"])[0]
    finally:
        extractor.processor.do_rms_norm = False
    assert loud.gain > 1.2
    own, back = (extractor._fit(u.mel, u) for u in (plain, loud))
    audible = own > -8
    torch.testing.assert_close(own[audible], back[audible], atol=2e-2, rtol=0)


def fails(capsys, *arguments):
    assert run(*arguments) == 2
    captured = capsys.readouterr().err  # a bar of progress may stand beside it
    assert captured.count("error: ") == 1 and "Traceback" not in captured
    return captured[captured.index("error: ") :].splitlines()[0]


def test_what_cannot_be_done_is_said(folders, corpus, tmp_path, capsys):
    out = tmp_path / "mels"
    (tmp_path / "empty").mkdir()
    glow = folders("glow_tts")
    assert "there is no acoustic model" in fails(capsys, tmp_path / "nowhere", corpus, out)
    assert "has no config.json" in fails(capsys, tmp_path / "empty", corpus, out)
    assert "metadata.csv is not there" in fails(capsys, "ada", tmp_path / "empty", out)
    assert "no formatter 'ljspech'; the closest" in fails(capsys, "ada", corpus, out, "--formatter", "ljspech")
    assert "leave --durations out" in fails(capsys, glow, corpus, out, "--durations", tmp_path)
    assert "argument --batch-size: '0'" in fails(capsys, "ada", corpus, out, "--batch-size", 0)
    assert "there is no vocoder" in fails(capsys, "ada", corpus, out, "--vocoder", "difwave")
    assert not out.exists()


def test_another_kind_of_spectrogram_is_refused_or_approximated(corpus, tmp_path, capsys):
    model = build("fast_pitch")
    model.config.audio.mel_fmax = 7600.0
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    model.config.save_json(tmp_path / "config.json")
    assert "fmax 7600 Hz against 8000 Hz" in fails(capsys, tmp_path / "model.pth", corpus, tmp_path / "mels")
    more = ("--vocoder", "diffwave?mel=approximate")
    assert run(tmp_path / "model.pth", corpus, tmp_path / "mels", *more) == 0
    facts = json.loads((tmp_path / "mels" / "mels.json").read_text())
    assert facts["identity"]["conversion"] == "approximate" and facts["clips"] == 5


def test_models_without_mels_are_refused_before_they_are_built(tmp_path, corpus, capsys):
    from TTS.tts.configs.vits_config import VitsConfig

    VitsConfig().save_json(tmp_path / "config.json")
    (tmp_path / "model.pth").write_bytes(b"")
    assert "the model Vits cannot be led along a recording" in fails(capsys, tmp_path, corpus, tmp_path / "mels")


class Harm:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_no_weights_are_unpickled(tmp_path, corpus, capsys):
    model = build("fast_pitch")
    torch.save({"model": model.state_dict(), "more": Harm(tmp_path / "harm")}, tmp_path / "model.pth")
    model.config.save_json(tmp_path / "config.json")
    assert "which this program never does" in fails(capsys, tmp_path, corpus, tmp_path / "mels")
    assert not (tmp_path / "harm").exists()


def test_weights_of_another_model_are_refused(folders, tmp_path, corpus, capsys):
    (tmp_path / "model.pth").write_bytes((folders("glow_tts") / "best_model.pth").read_bytes())
    (tmp_path / "config.json").write_bytes((folders("fast_pitch") / "config.json").read_bytes())
    told = fails(capsys, tmp_path, corpus, tmp_path / "mels")
    assert "does not hold the weights of the ForwardTTS" in told


def test_the_own_mel_is_the_vocoders(extractors, corpus):
    utterance = prepared(extractors("ada"), corpus, ["one"])[0]
    samples, _ = read_audio(corpus / "wavs" / "one.wav")
    expected = log_mel(samples[None], MelConfig())[0, :, : len(samples) // 256]
    torch.testing.assert_close(utterance.own, expected)

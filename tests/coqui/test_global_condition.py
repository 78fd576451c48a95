"""Vocoders that are told who speaks: what training does with the speakers of a corpus, and what it leaves behind."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import MEL, VOCODERS, training_config, write_corpus
from training_runs import train

from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.coqui import training
from tts_diffvoc.coqui.configs import RecipeArgs, from_core
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.vocoder import Vocoder

SPEAKERS = ("above", "below")


def write_speakers(folder: Path, names=SPEAKERS, clips: int = 5) -> Path:
    """A folder a speaker. The mel cannot tell the two of them apart: one's waveforms are the other's upside down."""
    for name, sign in zip(names, (1, -1, 0.5)):
        (folder / name).mkdir(parents=True)
        for i in range(clips):
            noise = np.random.default_rng(i).standard_normal(4800)
            soundfile.write(folder / name / f"{i}.wav", sign * (0.4 + 0.02 * noise), 8000, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_speakers(tmp_path_factory.mktemp("speakers") / "corpus")


def configuration(data, output, kind="diffwave", **changes):
    return training_config(kind, data, output, **{"global_condition": "folder", "highpass": False, **changes})


def refusal(*arguments, **options) -> str:
    with pytest.raises(DiffvocError) as caught:
        train(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def named(vocoder_config, names):
    return dataclasses.replace(
        vocoder_config, sizes=dataclasses.replace(vocoder_config.sizes, labels=len(names)), speaker_names=names
    )


def saved(folder: Path, config) -> str:
    torch.manual_seed(3)
    vocoder = Vocoder(config, "start")
    with torch.no_grad():
        for parameter in vocoder.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_checkpoint(vocoder, folder, "# start\n", torch.float32)
    return str(folder)


def test_batches_carry_speakers_and_their_rows_are_learnt(data, tmp_path):
    seen, before = [], {}

    def begin(trainer):
        before.setdefault("rows", trainer.model.vocoder.network.label_embedding.weight.detach().clone())

    config = configuration(data, tmp_path, num_loader_workers=1, ema_decay=0.0)
    ran = train(config, 6, options={"callbacks": {"on_train_step_start": begin}})
    after = ran.model.vocoder.network.label_embedding.weight
    assert after.shape == (3, 128) and (after != before["rows"]).any(1)[:2].all()
    dataset = ran.trainer.train_loader.dataset
    for batch in ran.trainer.train_loader:
        above = batch["waveform"].mean(1) > 0
        assert batch["condition"].dtype == torch.int64 and batch["condition"].tolist() == (~above).long().tolist()
        seen += batch["condition"].tolist()
    assert len(dataset) == 8 and set(seen) == {0, 1}
    config_kept = json.loads((ran.folder / "config.json").read_text())
    assert config_kept["vocoder"]["speaker_names"] == list(SPEAKERS)
    assert load_vocoder(ran.folder / "vocoder").config.speaker_names == SPEAKERS
    assert "above, below" in (ran.folder / "vocoder" / "README.md").read_text()


def test_what_only_the_speaker_tells_is_learnt(data, tmp_path):
    config = configuration(data, tmp_path / "runs", lr=4e-3)
    config.mel_extra = {**config.mel_extra, "scale": 0.2, "shift": 2.2}  # a mel that never changes, around zero
    ran = train(config, 80)
    network = load_vocoder(ran.folder / "vocoder")
    waveform = torch.full((32, 512), 0.4) * torch.tensor([1.0, -1.0]).repeat(16).unsqueeze(1)
    mel, seeds = network.mel(waveform)[..., :8], list(range(32))
    right = torch.tensor([0, 1]).repeat(16)
    with torch.no_grad():
        own, other, none = (
            float(network.loss(waveform, mel, seeds=seeds, labels=labels)) for labels in (right, 1 - right, None)
        )
    assert own < 0.85 * none and own < 0.7 * other


def test_held_back_clips_are_spoken_by_their_own_speakers(data, tmp_path):
    shown = {}

    def end(trainer):
        shown.update(trainer.model.test_run(trainer)["audios"])

    config = configuration(data, tmp_path, test_delay_epochs=0, epochs=1, test_clips=2, lr=4e-3)
    ran = train(config, options={"callbacks": {"on_epoch_end": end}})
    vocoder = ran.model.averaged()
    assert sorted(shown) == ["above/2/made", "above/2/recorded", "below/2/made", "below/2/recorded"]
    for name in SPEAKERS:
        mel = vocoder.mel(torch.from_numpy(shown[f"{name}/2/recorded"]))[..., :75]
        made = torch.from_numpy(shown[f"{name}/2/made"])
        distances = {
            speaker: float((vocoder.generate(mel, seed=0, speaker=speaker)[0] - made).abs().mean())
            for speaker in SPEAKERS
        }
        assert min(distances, key=distances.get) == name and distances[name] < 1e-3


def test_validation_knows_the_speakers(data, tmp_path):
    ran = train(configuration(data, tmp_path, lr=4e-3), 4)
    losses = []
    for swap in (False, True):
        weight = ran.model.average.module.network.label_embedding.weight
        if swap:
            with torch.no_grad():
                weight[:2] = weight[:2].flip(0)
        ran.trainer.keep_avg_eval = None
        ran.trainer.eval_epoch()
        losses.append(ran.trainer.keep_avg_eval["avg_loss"])
    assert losses[0] != losses[1]


# Beginning with weights


def test_a_voice_without_speakers_lends_its_weights_to_each(data, tmp_path):
    start = saved(tmp_path / "start", VOCODERS["diffwave"])
    config = configuration(data, tmp_path / "runs", start_from=start, lr=0.0)
    vocoder = train(config, 1).model.vocoder.eval()
    one = load_vocoder(start)
    mel = torch.full((1, 20, 5), -4.0)
    expected = one.generate(mel, steps=2, seed=1)
    for speaker in (None, 0, 1):
        made = vocoder.generate(mel, steps=2, seed=1, speaker=speaker)
        assert torch.allclose(made, expected, atol=1e-5)
    config = configuration(data, tmp_path / "more", start_from=start, lr=4e-3)
    vocoder = train(config, 12).model.vocoder.eval()
    two = [vocoder.generate(mel, steps=2, seed=1, speaker=speaker) for speaker in SPEAKERS]
    assert not torch.equal(*two)


def test_a_voice_with_speakers_is_a_beginning_for_the_same_ones(data, tmp_path):
    start = saved(tmp_path / "start", named(VOCODERS["diffwave"], SPEAKERS))
    ran = train(configuration(data, tmp_path / "runs", start_from=start, lr=0.0), 1)
    weights = load_vocoder(start).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in ran.model.vocoder.state_dict().items())
    for names in (("above", "beside"), (*SPEAKERS, "beside")):
        other = saved(tmp_path / "-".join(names), named(VOCODERS["diffwave"], names))
        text = refusal(configuration(data, tmp_path / "refused", start_from=other), 1)
        assert f"{len(names)} speakers ({', '.join(names)}) and this configuration 2 speakers (above, below)" in text
    plain = training_config("diffwave", data, tmp_path / "refused", start_from=start)
    assert "2 speakers (above, below) and this configuration 0 speakers" in refusal(plain, 1)


def test_a_checkpoint_of_other_speakers_is_not_restored(data, tmp_path):
    first = train(configuration(data, tmp_path / "runs"), 2)
    (path,) = first.folder.glob("checkpoint_*.pth")
    others = write_speakers(tmp_path / "others", ("above", "beside"))
    for config in (configuration(others, tmp_path / "a"), training_config("diffwave", data, tmp_path / "b")):
        assert f"{path} knows above, below and this run" in refusal(config, 1, restore_path=str(path))
    assert train(configuration(data, tmp_path / "c"), 1, restore_path=str(path)).losses


# What can go wrong


def test_speakers_that_cannot_be_told(data, tmp_path):
    write_corpus(tmp_path / "plain")
    assert "finds no condition in the names of" in refusal(configuration(tmp_path / "plain", tmp_path / "runs"), 1)
    text = refusal(configuration(data, tmp_path / "runs", global_condition="(/)"), 1)
    assert "finds one condition in all clips, /" in text
    assert not (tmp_path / "runs").exists()


def test_a_speaker_who_is_only_held_back(tmp_path):
    write_speakers(tmp_path / "data")
    (tmp_path / "data/alone").mkdir()
    soundfile.write(tmp_path / "data/alone/0.wav", np.full(4800, 0.1), 8000)
    config = configuration(tmp_path / "data", tmp_path / "runs")
    corpus, _, _ = training.split_corpus(config)
    alone = [r for r in corpus.recordings if r.condition == "alone"]
    rest = [r for r in corpus.recordings if r.condition != "alone"]
    with pytest.raises(DiffvocError, match="alone/0 belongs to 'alone', which is not among what is trained on: above"):
        training.fit(config, RecipeArgs(max_steps=1), rest, alone)


def test_a_run_that_goes_on_knows_no_new_speakers(tmp_path):
    data = write_speakers(tmp_path / "data")
    first = train(configuration(data, tmp_path / "runs"), 2)
    (data / "below").rename(data / "beside")
    again = configuration(data, tmp_path / "runs")
    again.load_json(str(first.folder / "config.json"))
    assert "belongs to 'beside', which is not among" in refusal(again, 4, continue_path=str(first.folder))


@pytest.mark.parametrize(
    "kind, changes, says",
    [
        ("diffwave", {"global_condition": "["}, "no regular expression"),
        ("wavegrad", {}, "a wavegrad takes none"),
    ],
)
def test_bad_configurations(data, tmp_path, kind, changes, says):
    with pytest.raises(DiffvocError, match=says):
        configuration(data, tmp_path, kind, **changes).check_values()


def test_a_network_for_another_number_of_speakers(data, tmp_path):
    config = configuration(data, tmp_path / "runs")
    core = VOCODERS["diffwave"]
    config.vocoder = from_core(
        dataclasses.replace(core, sizes=dataclasses.replace(core.sizes, labels=3), speaker_names=())
    ).vocoder
    assert "the network has 3 speakers and the corpus 2 (above, below)" in refusal(config, 1)
    config.vocoder["sizes"]["labels"] = 2
    assert train(config, 1).model.vocoder.config.speaker_names == SPEAKERS


def test_a_configuration_may_put_speakers_in_an_order(data, tmp_path):
    config = configuration(data, tmp_path)
    config.vocoder = from_core(named(VOCODERS["diffwave"], ("below", "above", "later"))).vocoder
    ran = train(config, 1)
    batch = next(iter(ran.trainer.train_loader))
    assert batch["condition"].tolist() == (batch["waveform"].mean(1) > 0).long().tolist()
    assert ran.model.vocoder.config.speakers == 3


# Coqui's own program


def test_coquis_program_goes_on_with_a_run(data, tmp_path, train_vocoder):
    run = train(configuration(data, tmp_path / "runs", epochs=1, save_step=2, run_eval=False), 3)
    values = json.loads((run.folder / "config.json").read_text())
    values["output_path"] = str(tmp_path / "coqui")
    (tmp_path / "config.json").write_text(json.dumps(values))
    train_vocoder("--config_path", str(tmp_path / "config.json"))
    (folder,) = (tmp_path / "coqui").iterdir()
    assert load_vocoder(folder / "vocoder").config.speaker_names == SPEAKERS
    assert load_vocoder(folder / "vocoder").config.mel == MEL
    values["vocoder"]["speaker_names"] = []
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(DiffvocError, match="begin the run with a recipe"):
        train_vocoder("--config_path", str(tmp_path / "config.json"))

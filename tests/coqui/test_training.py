"""Training through Coqui's Trainer: it learns, goes on where it stopped, and says why when it cannot."""

import os
import re
import resource
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_corpus import MEL, VOCODERS, training_config, write_corpus
from small_vocoders import random_vocoder
from training_runs import largest_difference, train

from tts_diffvoc import factory
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.coqui.configs import from_core
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.vocoder import Vocoder

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def config(corpus, tmp_path):
    """Of a small DiffWave, on a corpus that makes epochs of 9 steps."""
    return training_config("diffwave", corpus, tmp_path / "runs")


def refusal(*arguments, **options) -> str:
    """The one sentence with which a training ends."""
    with pytest.raises(DiffvocError) as caught:
        train(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def only_folder(config) -> Path:
    (folder,) = Path(config.output_path).iterdir()
    return folder


def mean(values) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("kind", VOCODERS)
def test_the_loss_falls(tmp_path, kind):
    data = write_corpus(tmp_path / "data", pitch=120.0)
    ran = train(training_config(kind, data, tmp_path / "runs", run_eval_steps=5, lr=4e-3), 60)
    assert len(ran.losses) == 60
    assert mean(ran.losses[-20:]) < 0.95 * mean(ran.losses[:20])
    assert ran.validations[-1] < 0.9 * ran.validations[0]


def test_the_same_seed_gives_the_same_run(corpus, tmp_path):
    one, again, other = (
        train(training_config("diffwave", corpus, tmp_path / str(i), training_seed=seed), 4)
        for i, seed in enumerate((1, 1, 2))
    )
    assert one.losses == again.losses != other.losses
    assert largest_difference(one.weights(), again.weights()) == 0


@pytest.mark.parametrize("kind, parts", [("wavegrad", 1), ("diffwave", 2)])
def test_a_run_goes_on_as_if_it_had_not_stopped(corpus, tmp_path, kind, parts):
    """Stopped in the middle of the first epoch and of the second, with gains, warm-up and averaged weights."""
    settings = {"gain_db": 6.0, "warmup_steps": 10, "epoch_passes": parts, "batch_size": 8 // parts}
    whole = train(training_config(kind, corpus, tmp_path / "whole", **settings), 10, grad_accum_steps=parts)
    config = training_config(kind, corpus, tmp_path / "parts", **settings)
    first = train(config, 3, grad_accum_steps=parts)
    second = train(config, 7, grad_accum_steps=parts, continue_path=str(first.folder))
    third = train(config, 10, grad_accum_steps=parts, continue_path=str(first.folder))
    assert [len(ran.losses) for ran in (whole, first, second, third)] == [10, 3, 4, 3]
    assert first.losses + second.losses + third.losses == pytest.approx(whole.losses, abs=1e-6)
    assert largest_difference(third.weights(), whole.weights()) < 1e-6
    assert int(third.model.steps_done) == 10 and third.trainer.total_steps_done == 10
    assert only_folder(config) == first.folder


def test_a_run_that_is_done_does_nothing_more(config):
    first = train(config, 4)
    again = train(config, 4, continue_path=str(first.folder))
    assert again.losses == []
    assert largest_difference(first.weights(), again.weights()) == 0


def test_a_setting_can_be_changed_when_a_run_goes_on(config):
    first = train(config, 3)
    config.lr = 0.0
    again = train(config, 6, continue_path=str(first.folder))
    before, after = (ran.model.vocoder.state_dict() for ran in (first, again))
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_the_learning_rate_rises_and_falls(corpus, tmp_path):
    rates = []
    config = training_config("diffwave", corpus, tmp_path, warmup_steps=4, lr_end=0.1, lr=1e-3)
    note = lambda trainer: rates.append(trainer.optimizer[0].param_groups[0]["lr"])  # noqa: E731
    train(config, 12, options={"callbacks": {"on_train_step_end": note}})
    assert rates == sorted(rates[:4]) + sorted(rates[4:], reverse=True)
    assert rates[0] == pytest.approx(2.5e-4, rel=0.01) and 1e-4 < rates[-1] < 1.7e-4
    assert max(rates) > 8e-4


@pytest.mark.parametrize("kind", ["diffwave", "wavegrad"])
def test_accumulated_gradients_are_those_of_the_large_batch(corpus, tmp_path, kind):
    settings = {"optimizer": "SGD", "optimizer_params": {}, "lr": 1e-2, "run_eval": False}
    large = train(training_config(kind, corpus, tmp_path / "large", batch_size=8, **settings), 1)
    config = training_config(kind, corpus, tmp_path / "parts", batch_size=2, **settings)
    accumulated = train(config, 1, grad_accum_steps=4)
    assert accumulated.losses == pytest.approx(large.losses, abs=1e-6)
    assert largest_difference(large.weights(), accumulated.weights()) < 1e-6


def test_gradients_are_clipped_before_the_step(corpus, tmp_path):
    before = {}

    def begin(trainer):
        with torch.no_grad():
            trainer.model.vocoder.network.output_projection.weight.fill_(100.0)  # a huge gradient
        before.update({name: p.detach().clone() for name, p in trainer.model.vocoder.named_parameters()})

    settings = {"optimizer": "SGD", "optimizer_params": {}, "lr": 0.5, "grad_clip": 0.01}
    config = training_config("diffwave", corpus, tmp_path, **settings)
    ran = train(config, 1, options={"callbacks": {"on_train_step_start": begin}})
    squares = [(p.detach() - before[name]).double().square().sum() for name, p in ran.model.vocoder.named_parameters()]
    assert float(sum(squares).sqrt()) == pytest.approx(0.5 * 0.01, rel=1e-2)


def test_mixed_precision_trains_on_a_cpu(corpus, tmp_path):
    config = training_config("diffwave", corpus, tmp_path / "bf16", mixed_precision=True, precision="bf16")
    ran = train(config, 8)
    plain = train(training_config("diffwave", corpus, tmp_path / "float32"), 8)
    assert {p.dtype for p in ran.model.vocoder.parameters()} == {torch.float32}
    assert ran.losses != plain.losses
    assert mean(ran.losses) == pytest.approx(mean(plain.losses), rel=0.02)


def test_validation_has_the_same_noise_each_time(config):
    ran = train(config, 3)
    losses = []
    for _ in range(2):
        ran.trainer.keep_avg_eval = None
        ran.trainer.eval_epoch()
        losses.append(ran.trainer.keep_avg_eval["avg_loss"])
    assert losses[0] == losses[1]
    with torch.no_grad():
        for parameter in ran.model.average.module.network.parameters():
            parameter.add_(0.1)
    ran.trainer.keep_avg_eval = None
    ran.trainer.eval_epoch()
    assert ran.trainer.keep_avg_eval["avg_loss"] != losses[0]


def test_the_exported_vocoder_is_the_average(config):
    ran = train(config, 6)
    exported = load_vocoder(ran.folder / "vocoder")
    average, bare = ran.model.average.module.state_dict(), ran.model.vocoder.state_dict()
    for name, value in exported.state_dict().items():
        assert torch.allclose(value, average[name], rtol=1e-3, atol=1e-6), name
    assert max(float((average[name] - bare[name]).abs().max()) for name in bare) > 1e-3
    assert exported.config.mel == MEL
    assert exported.generate(torch.zeros(1, 20, 5), steps=2, seed=0).shape == (1, 5 * 64)
    assert "6 steps" in (ran.folder / "vocoder/README.md").read_text()


def test_a_checkpoint_of_the_trainer_speaks_with_the_average(config):
    from tts_diffvoc.coqui.models import DiffvocDiffwave

    ran = train(config, 3)
    (path,) = ran.folder.glob("checkpoint_*.pth")
    model = DiffvocDiffwave(config)
    model.load_checkpoint(config, path, eval=True)
    average = ran.model.average.module.state_dict()
    assert all(torch.equal(value, average[name]) for name, value in model.vocoder.state_dict().items())


def test_held_back_clips_are_synthesised_for_the_dashboard(corpus, tmp_path):
    shown = {}
    config = training_config("diffwave", corpus, tmp_path, test_delay_epochs=0, epochs=1, test_clips=3)

    def end(trainer):
        found = trainer.model.test_run(trainer)
        shown.update(found["audios"])
        again = trainer.model.test_run(trainer)["audios"]
        assert all((again[name] == samples).all() for name, samples in found["audios"].items())

    train(config, options={"callbacks": {"on_epoch_end": end}})
    assert sorted(shown) == ["clip3/made", "clip3/recorded"]
    assert shown["clip3/made"].shape == shown["clip3/recorded"].shape == (75 * 64,)


# Beginning with weights


def test_a_run_begins_with_a_vocoders_weights(corpus, tmp_path):
    torch.manual_seed(5)
    start = Vocoder(VOCODERS["diffwave"])
    save_checkpoint(start, tmp_path / "start", "# start\n", torch.float32)
    config = training_config("diffwave", corpus, tmp_path, start_from=str(tmp_path / "start"), lr=0.0)
    ran = train(config, 1)
    for vocoder in (ran.model.vocoder, ran.model.average.module):
        assert all(torch.equal(value, start.state_dict()[name]) for name, value in vocoder.state_dict().items())
    assert f"begun from {tmp_path / 'start'}" in (ran.folder / "vocoder/README.md").read_text()


def test_a_vocoder_of_other_sizes_is_no_beginning(corpus, tmp_path):
    config = training_config("diffwave", corpus, tmp_path / "runs", start_from="diffwave")
    assert "start_from=diffwave has other sizes or another mel" in refusal(config, 1)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_checkpoint_lends_its_weights_to_a_new_run(corpus, tmp_path, config):
    first = train(config, 5)
    (path,) = first.folder.glob("checkpoint_*.pth")
    second = train(training_config("diffwave", corpus, tmp_path / "new", lr=0.0), 2, restore_path=str(path))
    assert int(second.model.steps_done) == 2 and len(second.losses) == 2
    assert all(
        torch.equal(value, second.model.vocoder.state_dict()[name])
        for name, value in first.model.vocoder.state_dict().items()
    )


# What can go wrong


def test_a_folder_without_a_checkpoint_cannot_be_continued(config, tmp_path):
    assert "holds no checkpoint to go on from" in refusal(config, 1, continue_path=str(tmp_path))


def test_a_broken_checkpoint_is_told(config):
    first = train(config, 2)
    (path,) = first.folder.glob("checkpoint_*.pth")
    path.write_bytes(path.read_bytes()[:3000])
    text = refusal(config, 4, continue_path=str(first.folder))
    assert str(path) in text and "cannot be restored" in text and path.exists()


def break_weight(at: int):
    """A callback that puts a NaN into the network once ``at`` steps are done."""

    def corrupt(trainer):
        if int(trainer.model.steps_done) == at:
            with torch.no_grad():
                next(trainer.model.vocoder.network.parameters()).fill_(float("nan"))

    return {"callbacks": {"on_train_step_start": corrupt}}


def test_nan_ends_a_run_with_the_last_good_checkpoint(config):
    config.save_step = 2
    text = refusal(config, 8, options=break_weight(5))
    folder = only_folder(config)
    last = max(folder.glob("checkpoint_*.pth"), key=lambda path: int(path.stem.split("_")[1]))
    assert "the loss became nan at step 6" in text
    assert f"the last good checkpoint is {last}; go on with --continue_path {folder}" in text
    assert all(w.isfinite().all() for w in torch.load(last, weights_only=True)["model"].values())
    assert train(config, 8, continue_path=str(folder)).model.steps_done == 8


def test_nan_before_the_first_checkpoint_leaves_nothing(config):
    text = refusal(config, 8, options=break_weight(1))
    assert "at step 2" in text and "no checkpoint had been written yet" in text
    assert list(Path(config.output_path).iterdir()) == []


def test_an_infinite_gradient_ends_a_run_before_the_step(config):
    def hook(trainer):
        if int(trainer.model.steps_done) == 2:
            next(trainer.model.vocoder.network.parameters()).register_hook(lambda g: g * float("inf"))

    text = refusal(config, 8, options={"callbacks": {"on_train_step_start": hook}})
    assert re.search("the gradient became (nan|inf) at step 3", text)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_vanishes_ends_a_run_in_words(tmp_path, workers):
    data = write_corpus(tmp_path / "data")
    config = training_config("diffwave", data, tmp_path / "runs", save_step=1, num_loader_workers=workers)

    def delete(trainer):
        if int(trainer.model.steps_done) == 3:
            for path in data.glob("*.wav"):
                path.unlink()

    text = refusal(config, 30, options={"callbacks": {"on_train_step_end": delete}})
    assert str(data) in text and "is not there" in text
    assert f"the last good checkpoint is {only_folder(config)}/checkpoint_" in text


def test_a_disk_that_takes_no_more_leaves_the_last_checkpoint_and_no_half_one(config):
    """The system refuses to make any file longer than 200 kB from the fourth step on."""
    config.save_step = 2
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(trainer):
        if trainer.total_steps_done == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))

    try:
        text = refusal(config, 9, options={"callbacks": {"on_train_step_end": limit}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = only_folder(config)
    assert "checkpoint_4.pth cannot be written (File too large" in text
    assert f"the last good checkpoint is {folder}/checkpoint_2.pth; go on with --continue_path {folder}" in text
    assert [p.name for p in folder.rglob("*.pth")] == ["checkpoint_2.pth"]
    assert list(folder.rglob("*.part")) == []
    assert train(config, 9, continue_path=str(folder)).model.steps_done == 9


KILLED = """
import sys
sys.path[:0] = [{tests!r}, {coqui!r}]
import tts_diffvoc; tts_diffvoc.register()
from training_runs import train
from small_corpus import training_config
train(training_config("diffwave", {data!r}, {output!r}, save_step=1, save_n_checkpoints=3))
"""


def test_a_killed_run_goes_on(corpus, tmp_path, environment):
    output = tmp_path / "runs"
    code = KILLED.format(tests=str(TESTS), coqui=str(TESTS / "coqui"), data=str(corpus), output=str(output))
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(output.glob("*/checkpoint_1[0-9].pth")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (folder,) = output.iterdir()
    (folder / ".checkpoint_99.pth.part").write_bytes(b"what a kill may leave")
    done = max(int(path.stem.split("_")[1]) for path in folder.glob("*_[0-9]*.pth")) + 1
    assert done >= 10
    config = training_config("diffwave", corpus, output)
    last = train(config, done + 5, continue_path=str(folder))
    whole = train(training_config("diffwave", corpus, tmp_path / "whole"), done + 5)
    assert len(last.losses) >= 5
    assert last.losses == pytest.approx(whole.losses[-len(last.losses) :], abs=1e-6)
    assert largest_difference(last.weights(), whole.weights()) < 1e-6
    assert list(folder.rglob("*.part")) == []


def test_an_interrupted_run_is_saved_and_keeps_its_best(config):
    """Stopped before a new epoch's first step, when the Trainer knows no loss of it, the last epoch no better."""
    config.lr = 0.0
    per_epoch = len(train(config, 2).trainer.train_loader)

    def interrupt(trainer):
        if int(trainer.model.steps_done) == 2 * per_epoch:
            raise KeyboardInterrupt

    config.run_name = "interrupted"
    with pytest.raises(KeyboardInterrupt):
        train(config, options={"callbacks": {"on_train_step_start": interrupt}})
    (folder,) = (p for p in Path(config.output_path).iterdir() if p.name.startswith("interrupted"))
    best = torch.load(folder / "best_model.pth", weights_only=True)["model_loss"]
    config.epochs = 4
    ran = train(config, continue_path=str(folder))
    assert int(ran.model.steps_done) >= 3 * per_epoch
    assert ran.trainer.best_loss["eval_loss"] == pytest.approx(best["eval_loss"], rel=1e-4)


def test_a_budget_of_minutes_ends_a_run(corpus, tmp_path):
    from tts_diffvoc.coqui import training
    from tts_diffvoc.coqui.configs import RecipeArgs

    config = training_config("diffwave", corpus, tmp_path)
    _, clips, held = training.split_corpus(config)
    began = time.monotonic()
    ran = training.fit(config, RecipeArgs(max_minutes=0.5 / 60), clips, held)
    assert ran.total_steps_done >= 1 and time.monotonic() - began < 20
    assert (ran.output_path / f"checkpoint_{ran.total_steps_done - 1}.pth").is_file()


@pytest.mark.parametrize("option", ["--max_steps=0", "--max_steps=-3", "--max_minutes=0"])
def test_a_budget_of_nothing_is_refused(config, monkeypatch, option):
    from tts_diffvoc.coqui import training

    monkeypatch.setattr(sys, "argv", ["train.py", option])
    with pytest.raises(SystemExit, match="give a number above zero"):
        training.train_from_recipe(config)


def test_a_recipe_runs_from_its_command_line(config, monkeypatch, capsys):
    from tts_diffvoc.coqui import training

    monkeypatch.setattr(sys, "argv", ["train.py", "--max_steps", "3", "--coqpit.batch_size", "2"])
    training.train_from_recipe(config)
    folder = only_folder(config)
    said = capsys.readouterr().out
    assert "6 clips, 0.1 minutes" in said and "5 clips to train on, 1 held back" in said
    assert "3 steps." in said and str(folder / "vocoder") in said
    config.data_path = ""  # what was given at first is read from the run
    monkeypatch.setattr(sys, "argv", ["train.py", "--max_steps=5", f"--continue_path={folder}"])
    training.train_from_recipe(config)
    assert "5 steps." in capsys.readouterr().out
    assert only_folder(config) == folder and config.batch_size == 2


def test_a_recipe_without_recordings_says_so(config, monkeypatch):
    from tts_diffvoc.coqui import training

    monkeypatch.setattr(sys, "argv", ["train.py"])
    for path, says in [("", "add --coqpit.data_path FOLDER"), ("/nowhere", "there is no folder /nowhere")]:
        config.data_path = path
        with pytest.raises(SystemExit, match=f"^error: .*{says}"):
            training.train_from_recipe(config)
    assert not os.path.exists(config.output_path)


def test_a_spectral_vocoder_is_told_who_trains_it(corpus, tmp_path, monkeypatch, train_vocoder):
    from tts_diffvoc.coqui import training

    save_checkpoint(random_vocoder("spectral diffwave"), tmp_path / "spectral", "# Spectral\n")
    config = from_core(load_vocoder(tmp_path / "spectral").config)
    config.data_path, config.output_path = str(corpus), str(tmp_path / "runs")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    says = "fine-tune it with tts-diffvoc finetune, or train a new one with recipes/voices/train.py"
    with pytest.raises(SystemExit, match=f"^error: Coqui's Trainer trains the published networks .*{says}"):
        training.train_from_recipe(config)
    assert not (tmp_path / "runs").exists()
    config.save_json(tmp_path / "config.json")
    with pytest.raises(DiffvocError, match=says):
        train_vocoder("--config_path", str(tmp_path / "config.json"))


@pytest.mark.parametrize("network", ["diffwave", "wavegrad", "waveglow"])
def test_a_recipe_has_the_published_sizes(network):
    from tts_diffvoc.coqui.configs import to_core

    recipe = runpy.run_path(str(TESTS.parent / "recipes" / "ljspeech" / network / f"train_{network}.py"))
    made, published = to_core(recipe["config"]), factory.published(network, MelConfig())
    assert (made.sizes, made.mel) == (published.sizes, published.mel)
    assert getattr(made, "schedule", None) == getattr(published, "schedule", None)


@pytest.mark.parametrize("network", ["diffwave", "wavegrad"])
def test_empty_settings_survive_a_command_line(network):
    """Coqpit makes None of an empty dictionary; the recipes have some."""
    from tts_diffvoc.coqui.configs import CONFIGS, to_core

    config = CONFIGS[network](optimizer_params={})
    before = to_core(config)
    config.parse_known_args(["--coqpit.batch_size", "2"], relaxed_parser=True)
    assert config.batch_size == 2 and to_core(config) == before
    assert (config.optimizer_params, config.mel_extra, config.vocoder, config.lr_scheduler_params) == ({}, {}, {}, {})

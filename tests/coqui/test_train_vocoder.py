"""Coqui's own integration test of vocoders, with our configurations: train an epoch, go on, load, speak."""

import pytest
import torch
from small_corpus import training_config, write_corpus


@pytest.mark.parametrize("kind", ["diffwave", "wavegrad"])
def test_coquis_program_trains_and_continues(tmp_path, train_vocoder, kind):
    from TTS.config import load_config
    from TTS.vocoder.models import setup_model

    data = write_corpus(tmp_path / "data")
    config = training_config(kind, data, tmp_path / "runs", epochs=1, save_step=2, test_delay_epochs=0, run_name=kind)
    config.save_json(tmp_path / "config.json")
    train_vocoder("--config_path", str(tmp_path / "config.json"))
    (folder,) = (tmp_path / "runs").iterdir()
    first = torch.load(folder / "best_model.pth", weights_only=True)
    steps = int(first["model"]["steps_done"])
    assert steps > 2 and first["model_loss"]["eval_loss"] < 3
    train_vocoder("--continue_path", str(folder))
    assert f"Continuing from best_model_{steps}.pth" in (folder / "trainer_0_log.txt").read_text()
    assert list((tmp_path / "runs").iterdir()) == [folder]
    last = max(int(path.stem.split("_")[1]) for path in folder.glob("checkpoint_*.pth"))
    assert steps < last < 2 * steps
    config = load_config(folder / "config.json")
    model = setup_model(config)
    model.load_checkpoint(config, folder / "best_model.pth", eval=True)
    waveform = model.inference(torch.full((1, 20, 7), -4.0), steps=2, seed=0)
    assert waveform.shape == (1, 1, 7 * 64) and torch.isfinite(waveform).all()
    assert sorted(p.name for p in (folder / "vocoder").iterdir()) == ["README.md", "config.json", "model.safetensors"]

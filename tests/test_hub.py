"""Vocoders from and to the Hub, against folders and a cache as huggingface_hub lays it out; no network."""

import sys
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, ModelCard, constants
from huggingface_hub.file_download import repo_folder_name
from small_vocoders import CONFIGS, SPECTRAL, random_vocoder

import tts_diffvoc
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.coqui import zoo
from tts_diffvoc.errors import DiffvocError, Failure
from tts_diffvoc.factory import Vocoder
from tts_diffvoc.spectral.vocoder import SpectralVocoder

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The Hub's cache with two revisions of someone/voice, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "hub" / repo_folder_name(repo_id="someone/voice", repo_type="model")
    for (revision, commit), kind in zip(COMMITS.items(), ("spectral diffwave", "diffwave")):
        snapshot = place / "snapshots" / commit
        random_vocoder(kind).save_pretrained(snapshot)
        (place / "blobs").mkdir(exist_ok=True)
        for path in snapshot.iterdir():
            path.rename(place / "blobs" / f"{commit}-{path.name}")
            path.symlink_to(f"../../blobs/{commit}-{path.name}")
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / revision).write_text(commit)
    return tmp_path / "hub"


def same(one, other):
    weights, others = one.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("kind", [*CONFIGS, *SPECTRAL])
def test_what_is_saved_comes_back_with_a_card(kind, tmp_path):
    made = random_vocoder(kind)
    assert made.save_pretrained(tmp_path / "voice", repo_id="someone/voice") is None
    back = type(made).from_pretrained(tmp_path / "voice")
    assert same(back, made) and back.config == made.config and not back.training
    card = ModelCard.load(tmp_path / "voice" / "README.md")
    assert card.data.library_name == "tts-diffvoc" and kind.split()[-1] in card.data.tags
    assert 'load_vocoder("someone/voice")' in card.text and "22050 Hz" in card.text


def test_a_card_of_its_own_is_kept_and_gets_what_it_lacks(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path / "old", "---\nlicense: MIT\ntags: [mine]\n---\nMade of my voice.\n")
    load_vocoder(tmp_path / "old").save_pretrained(tmp_path / "new")
    card = ModelCard.load(tmp_path / "new" / "README.md")
    assert card.data.to_dict() == {
        "library_name": "tts-diffvoc", "pipeline_tag": "audio-to-audio", "license": "mit", "tags": ["mine"]
    }  # fmt: skip
    assert card.text.strip() == "Made of my voice."
    save_checkpoint(diffwave, tmp_path / "plain", "# Made of my voice\n")
    load_vocoder(tmp_path / "plain").save_pretrained(tmp_path / "new")
    assert ModelCard.load(tmp_path / "new" / "README.md").text.strip() == "# Made of my voice"


def test_a_repository_comes_from_the_cache_at_any_revision(cache, speech):
    vocoder = tts_diffvoc.load_vocoder("someone/voice?seed=1")
    assert isinstance(vocoder, SpectralVocoder) and vocoder.name == "someone/voice" and vocoder.defaults["seed"] == 1
    assert vocoder.generate(vocoder.mel(speech)).isfinite().all()
    assert isinstance(load_vocoder("someone/voice", revision="v1"), Vocoder)
    assert same(Vocoder.from_pretrained("someone/voice", revision=COMMITS["v1"]), random_vocoder("diffwave"))
    moved = cache.rename(cache.with_name("elsewhere"))
    assert same(SpectralVocoder.from_pretrained("someone/voice", cache_dir=moved), vocoder)


def test_what_the_hub_has_not_is_one_sentence(cache, tmp_path):
    with pytest.raises(DiffvocError, match="^someone/voice is a SpectralVocoder, not a Vocoder; use load_vocoder.$"):
        Vocoder.from_pretrained("someone/voice")
    for name, options in [("someone/else", {}), ("someone/voice", {"revision": "v2"}), ("a--b/c", {})]:
        with pytest.raises(
            Failure, match=f"^{name} is no folder here and cannot be had from the Hub .*; check"
        ) as caught:
            load_vocoder(name, **options)
        assert "\n" not in str(caught.value)


def test_coqui_takes_a_repository_by_name(cache):
    ours, folder = zoo.is_our_vocoder("someone/voice?seed=1", {}), zoo.locate("someone/voice?seed=1")
    snapshot = cache / "models--someone--voice" / "snapshots" / COMMITS["main"]
    assert ours and folder == (f"{snapshot}?seed=1", str(snapshot / "config.json"))
    assert zoo.is_our_path(folder[0])
    with pytest.raises(Failure, match="^someone/else is no folder here and cannot be had from the Hub"):
        zoo.locate("someone/else")


@pytest.mark.parametrize(
    "name", ["runs/mine", "difwave", "vocoder_models/en/diffvoc/difwave", "./a/b", "/a/b", "a/b/c"]
)
def test_names_that_are_not_the_hub_s_never_ask_it(name, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DiffvocError, match="^there is no vocoder or checkpoint folder"):
        load_vocoder(name)


def test_without_the_library_everything_but_the_hub_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tts_diffvoc.load_vocoder("diffwave"), tmp_path / "voice", "# A\n")
    assert isinstance(load_vocoder(tmp_path / "voice"), SpectralVocoder)
    with pytest.raises(DiffvocError, match="^someone/voice is no folder here, and the Hub needs .*; pip install 'tts-"):
        load_vocoder("someone/voice")


def test_a_push_uploads_what_can_be_loaded(spectral, tmp_path, monkeypatch):
    """The Hub itself is what cannot be here: its two calls are answered, and what they were given is looked at."""
    pushed = {}

    def upload(api, *, folder_path, **given):
        pushed.update(given, vocoder=load_vocoder(folder_path), token=api.token)
        return "the commit"

    monkeypatch.setattr(HfApi, "create_repo", lambda api, name, **given: SimpleNamespace(repo_id=f"me/{name}"))
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert spectral.push_to_hub("voice", token="t", branch="v1", commit_message="New") == "the commit"
    assert same(pushed.pop("vocoder"), spectral)
    assert pushed == {"repo_id": "me/voice", "revision": "v1", "token": "t", "commit_message": "New"}
    assert spectral.save_pretrained(tmp_path / "mine", push_to_hub=True) == "the commit"
    assert pushed["repo_id"] == "me/mine"

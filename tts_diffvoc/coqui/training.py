"""Training with Coqui's Trainer as a recipe starts it: its command line, its corpus, its processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from tts_diffvoc.coqui.configs import DiffvocConfig, RecipeArgs, check_trainable, learn_speakers, mel_config, to_core
from tts_diffvoc.coqui.trainer import DiffvocTrainer, find_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.conditions import conditioned, names_of, shown
from tts_diffvoc.training.corpus import Corpus, Recording, scan

# A corpus to the clips to train on and those to hold back; others are left out.
Split = Callable[[Corpus], tuple[list[Recording], list[Recording]]]


def split_corpus(config: DiffvocConfig, split: Split | None = None) -> tuple[Corpus, list[Recording], list[Recording]]:
    """The corpus of ``config.data_path`` and its recordings to train on and to hold back.

    Args:
        split: of the corpus, instead of one evenly over its names. Of what it holds back, ``eval_split_size`` clips
            are used, and none of the others.
    """
    if not config.data_path:
        raise DiffvocError("no recordings were named; add --coqpit.data_path FOLDER.")
    features = config.feature_path or None
    corpus = scan(config.data_path, mel_config(config), features, config.data_check, config.highpass)
    corpus.recordings = conditioned(corpus.recordings, config.global_condition)
    if split is None:
        train, held = corpus.split(min(config.eval_split_size, max(1, len(corpus.recordings) // 4)))
        return corpus, train, held
    train, held = split(corpus)
    for part, clips in (("train on", train), ("hold back", held)):
        if not clips:
            raise DiffvocError(f"{corpus.folder} holds no usable clip to {part}; give the whole corpus.")
    count = min(config.eval_split_size, len(held))
    return corpus, train, [held[int((i + 0.5) * len(held) / count)] for i in range(count)]


def train_from_recipe(config: DiffvocConfig, split: Split | None = None) -> None:
    """What the recipes run: take Coqui's command line, look at the data, train, say where the result is.

    Every setting can be changed on the command line (``--coqpit.batch_size 8``), and a run is taken up again with
    ``--continue_path RUN``. Exits with status 1 and one sentence when something is wrong. ``split`` says which clips
    are held back, where a corpus has an opinion on that.
    """
    try:
        _run(config, split)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _run(config: DiffvocConfig, split: Split | None) -> None:
    args = RecipeArgs()
    rest = args.parse_known_args(arg_prefix="")
    for name in ("max_steps", "max_minutes"):
        if args[name] is not None and not args[name] > 0:
            raise DiffvocError(f"--{name} is {args[name]}; give a number above zero, or leave it out for no end.")
    if args.continue_path:
        find_checkpoint(args.continue_path)
        config.load_json(os.path.join(args.continue_path, "config.json"))
    if rest:
        config.parse_known_args(rest, relaxed_parser=True)
    config.check_values()
    check_trainable(to_core(config))
    join_processes(args, config)
    corpus, train, held = split_corpus(config, split)
    names = names_of(train)
    if args.rank == 0:
        print(corpus.report(), flush=True)
        print(f"  {len(train)} clips to train on, {len(held)} held back", flush=True)
        if names:
            print(f"  conditioned on {len(names)}: {shown(names)}", flush=True)
    ran = fit(config, args, train, held)
    if args.rank == 0:
        print(f"{ran.total_steps_done} steps. Speak with what it learnt:")
        result = ran.output_path / "vocoder"
        if names:
            print(f'tts-diffvoc vocode RECORDING.wav -o out.wav --vocoder "{result}?speaker={names[0]}"')
        else:
            print(f'tts --text "hello" --vocoder_name {result}')


def join_processes(args: RecipeArgs, config: DiffvocConfig) -> None:
    """Join the other processes of this training, if there are any, and set the rank in ``args``.

    ``torchrun`` and ``accelerate launch`` say who is who in the environment, for one machine or many;
    ``python -m trainer.distribute`` does on the command line. On GPUs the latter is left to Coqui's Trainer, which
    joins over NCCL; without them the processes join over Gloo.
    """
    if torch.distributed.is_initialized():
        return
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        args.rank = int(os.environ["RANK"])
        if torch.cuda.is_available():
            # One GPU a process: without the variable, and with a number, Coqui's Trainer sees just that one and
            # does not join the processes a second time. The GPUs are counted first, while the variable hides some.
            torch.cuda.init()
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            args.gpu = int(os.environ.get("LOCAL_RANK", args.rank))
            torch.cuda.set_device(args.gpu)
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    elif args.use_ddp and not torch.cuda.is_available():
        places = [place for place in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if place.strip()]
        torch.distributed.init_process_group(
            "gloo", init_method=config.distributed_url, world_size=max(1, len(places)), rank=args.rank
        )


def fit(
    config: DiffvocConfig, args: RecipeArgs, train: list[Recording], held: list[Recording], **options: Any
) -> DiffvocTrainer:
    """Train the model of ``config``; every process but the first writes to a folder that is thrown away.

    Coqui's Trainer writes its logs and configuration in every process. ``options`` go to the Trainer.
    """
    from TTS.vocoder.models import setup_model

    learn_speakers(config, train, held)
    torch.manual_seed(config.training_seed)  # of the first weights, which Coqui's Trainer does not make
    rank = args.rank
    with tempfile.TemporaryDirectory(prefix="tts-diffvoc-") if rank else nullcontext(config.output_path) as output:
        if rank and args.continue_path:
            for checkpoint in set(find_checkpoint(args.continue_path)):
                os.symlink(os.path.abspath(checkpoint), os.path.join(output, os.path.basename(checkpoint)))
            args.continue_path = output
        ran = DiffvocTrainer(
            args,
            config,
            output,
            model=setup_model(config),
            train_samples=train,
            eval_samples=held,
            parse_command_line_args=False,
            **options,
        )
        ran.fit()
    return ran

"""Fine-tune a vocoder on a folder of recordings: what `tts-diffvoc finetune` does, as a script to change.

python recipes/custom_voice/finetune_vocoder.py --data my_voice/ --vocoder diffwave --output runs/mine
"""

from tts_diffvoc.arguments import Parser, spoken
from tts_diffvoc.commands import finetune
from tts_diffvoc.training.finetuning import fine_tune

if __name__ == "__main__":
    with spoken():
        parser = Parser(description=finetune.__doc__)
        finetune.add_arguments(parser)
        plan = finetune.plan(parser.parse_args())  # a FineTuning: dataclasses.replace(plan, clip_seconds=None) ...
        before, after = fine_tune(plan)

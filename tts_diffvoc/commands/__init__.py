"""Subcommands of ``tts-diffvoc``: each module has HELP, add_arguments(parser) and run(options).

They import torch inside ``run``, so that ``--help`` stays quick.
"""

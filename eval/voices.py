"""Measure the bundled acoustic voices beside their teachers: `python eval/voices.py --help` tells how."""

from tts_diffvoc_eval.voices import main

if __name__ == "__main__":
    main()

"""Make the clips that come with the benchmark: `python eval/make_clips.py --help` tells how."""

from tts_diffvoc_eval.make_clips import main

if __name__ == "__main__":
    main()

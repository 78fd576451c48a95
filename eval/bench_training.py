"""Time training against the public learner: `python eval/bench_training.py --help` tells how."""

from tts_diffvoc_eval.bench_training import main

if __name__ == "__main__":
    main()

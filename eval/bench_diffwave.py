"""Time a published DiffWave against ours: `python eval/bench_diffwave.py --help` tells how."""

from tts_diffvoc_eval.bench_diffwave import main

if __name__ == "__main__":
    main()

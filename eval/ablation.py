"""What the network adds to a spectral vocoder: `python eval/ablation.py --help` tells how."""

from tts_diffvoc_eval.ablation import main

if __name__ == "__main__":
    main()

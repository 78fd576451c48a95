"""Mels that an acoustic model of Coqui makes while it is led along a recording (ground-truth-aligned mels).

What it makes of a text alone has timing of its own, so it cannot be paired with a recording. Led by the
recording's mel (attention models) or by its durations and pitch (duration models) it keeps the recording's
timing and still errs as it does at synthesis, which is what a vocoder has to learn (Shen et al. 2018, section
3.2). In these modules T counts symbols, F frames, C channels of a spectrogram.

Results never depend on what else is in a batch: everything that looks beyond its own frame runs on one
utterance at its own length, and only the recurrent decoders of the attention models, which are slow, run on
several at a time.

From Python::

    from tts_diffvoc.coqui.gta.corpus import read_corpus
    from tts_diffvoc.coqui.gta.extraction import Extractor, extract_mels

    tts_diffvoc.register()
    extract_mels(Extractor("ada", "diffwave"), read_corpus(Path("corpus")), Path("mels"))
"""

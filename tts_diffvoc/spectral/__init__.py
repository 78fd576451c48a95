"""Vocoders that diffuse the complex short-time spectrum divided by its expected magnitudes.

From mel to waveform: pitch, pulses and noise, magnitudes, a source-filter prior, a few evaluations of a denoiser, the
inverse transform. Letters in shapes: B batch, T samples, F frames (T = F * hop), M mel bands, K = n_fft // 2 + 1 bins
of a spectrum, C channels. A complex spectrum is real, [B, F, 2, K]: of each frame the real part, then the imaginary.
"""

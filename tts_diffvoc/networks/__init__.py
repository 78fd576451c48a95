"""Networks that predict noise, DiffWave and WaveGrad, and a flow, WaveGlow; torch only."""

"""The mathematics of diffusion: schedules, forward process, objectives and samplers; torch only."""

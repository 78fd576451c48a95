"""The benchmark of vocoders: systems, clips, metrics, records, reports. `python eval/compare.py` is its command."""

"""Generation of spoken digits: datasets, systems, a classifier, metrics, tables, and the samples of a page."""

"""Generation of spoken digits: datasets, systems, a classifier, metrics and tables."""

"""From the records of a run to tables, plots and a page; nothing here runs a model."""

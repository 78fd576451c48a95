"""From written English to the symbols that the bundled acoustic models read."""

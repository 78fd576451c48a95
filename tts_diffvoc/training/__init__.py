"""What training needs and knows nothing of Coqui: a checked corpus, crops of it, and the order they come in."""

"""Matrix products: their sizes, the ways of computing them, and the launches that do."""

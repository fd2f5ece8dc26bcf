"""Matrix products: their sizes, the configurations that compute them, and their launches."""

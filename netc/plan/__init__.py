"""Where every value lives, and in which order the steps run."""

"""What layers mean, a family a file."""

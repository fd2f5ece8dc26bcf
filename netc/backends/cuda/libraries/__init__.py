"""Products by NVIDIA's libraries, where a person has them: further candidates of the tuner."""

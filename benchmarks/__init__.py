"""Measurements that anyone can run; each prints the machine and the date with its figures."""

"""Formats of answers: a shard of rows as a file, and shards joined to one."""

"""The netc command, one file per subcommand."""

"""Every way in and out: the hook, the command line, files."""

"""What both programs agree on: the reasons, the configuration file, how a log line looks. Imports neither of them."""

"""The gateway: it faces the network, and never forks, signals or sees a command line."""

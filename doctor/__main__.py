"""`python -m doctor`: see doctor.command."""

from doctor.command import main

main(prog_name="mcp-gateway doctor")

"""`python -m stabkit`."""

from stabkit.cli import main

main(prog_name="stabkit")

"""`python -m gramless`, the same as the command `gramless`."""

from gramless.cli import main

main()

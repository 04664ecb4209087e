"""``python -m gift`` is the command ``gift``."""

from gift.cli import main

main()

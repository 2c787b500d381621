"""Run the command line with ``python -m mlffbench``."""

from mlffbench.cli.app import main

if __name__ == "__main__":
    main()

"""Run the command line with ``python -m mlffbench``."""

import sys

import mlffbench

if __name__ == "__main__":
    home = mlffbench.__path__[0].rpartition("/")[0]
    if not sys.flags.safe_path and sys.path[0] != home:
        del sys.path[0]  # the current folder: no module beside the data is ours
    from mlffbench.cli.app import main

    main()

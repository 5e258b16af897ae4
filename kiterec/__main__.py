"""`python -m kiterec` is the same as `kiterec`."""

from kiterec.cli import main

if __name__ == "__main__":
    main()

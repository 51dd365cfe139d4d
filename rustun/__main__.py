"""`python -m rustun` is the same as `rustun`."""

from rustun.cli import main

if __name__ == "__main__":
    main()

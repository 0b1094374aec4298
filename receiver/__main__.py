"""`python -m receiver` is `crm-receiver`."""

from receiver.cli import main

if __name__ == "__main__":
    main()

"""`python -m external_crm` is `external-crm`."""

from external_crm.cli import main

if __name__ == "__main__":
    main()

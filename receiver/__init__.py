"""The script behind the CRM trigger URLs: stores each trigger, reads the record, applies it."""

"""The 8x8 CRM API: an external process reads the Local CRM in XML over HTTPS."""

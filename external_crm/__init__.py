"""The customer's own CRM database: rows, audit trail, dashboard; one door in, `apply`."""

"""What customers do: they call and write. The Local CRM changes, and no trigger fires."""

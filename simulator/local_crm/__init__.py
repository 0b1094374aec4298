"""The Local CRM: records, their rules, every version of them, and the one door for changes."""

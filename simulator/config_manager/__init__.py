"""8x8 Configuration Manager: Integration > CRM Triggers and Integration > CRM API."""

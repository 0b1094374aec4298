"""CRM triggers: from a change in the Local CRM to an HTTPS call that was answered with 200."""

"""Who may: application entities now; persons, roles and grants later."""

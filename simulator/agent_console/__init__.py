"""8x8 Agent Console: agents create, edit and delete records; only this door fires triggers."""

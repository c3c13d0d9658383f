"""What each server offers: asked for once, kept, and told to whoever may know of it."""

"""Published layouts that this family loads as they are."""

"""Teams: groups of an organization's members."""

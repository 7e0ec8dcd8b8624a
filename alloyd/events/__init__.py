"""Events: rows written with what they tell, and the hub that hands them on after the commit."""

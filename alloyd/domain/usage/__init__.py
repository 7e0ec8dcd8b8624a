"""Usage: what each billable call cost, and the budget that it must stay within."""

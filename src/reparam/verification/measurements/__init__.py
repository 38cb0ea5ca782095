"""What the user's functions are, taken apart; the verdicts are the checks'."""

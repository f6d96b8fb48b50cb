"""Networks for other runtimes, with proof that nothing changed on the way: one file for each runtime."""

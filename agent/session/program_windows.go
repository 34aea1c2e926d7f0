package session

// othersIn says whether anybody is left of the process group of a program that has ended, which nobody here asks.
func othersIn(int) bool { return false }

"""Fault injection: rounds of small worlds of dumps, a fault in each, the recovery, and the comparison. `make soak`."""

//! A virtual clock, a simulated network and a conformance test for sans-IO machines.

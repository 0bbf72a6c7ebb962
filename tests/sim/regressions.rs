//! Seeds that once broke a rule, each with what it found.

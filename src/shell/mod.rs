//! Hands and senses: clocks, sockets, threads, files, signals. Decides nothing.

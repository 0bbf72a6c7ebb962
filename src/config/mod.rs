//! Text, environment and the controller's settings become one checked `Config` that knows where each value came from. Pure.

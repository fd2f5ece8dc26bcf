"""What all compiled backends share: how values lie in memory, what moves nothing, dispatch."""

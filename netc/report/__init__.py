"""Reports on nets: summaries, comparisons, memory, drawings, HTML pages."""

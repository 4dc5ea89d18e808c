"""The only place that touches the workspace database and data files."""

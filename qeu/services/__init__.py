"""One file per thing a person does; knows no page."""

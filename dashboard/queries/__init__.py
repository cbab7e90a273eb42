"""What each page says and shows, read from the store: one module a page, no Streamlit. Frames carry event time in the project's zone."""

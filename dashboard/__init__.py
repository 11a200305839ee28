"""What people see: a Streamlit app over the database and the vector index."""

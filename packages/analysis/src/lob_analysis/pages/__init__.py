"""Tables, pictures and sections: what reports and terminals show."""

"""Pages and tables for people; reads what other rooms made, and changes nothing."""

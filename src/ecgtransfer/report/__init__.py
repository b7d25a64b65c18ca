"""What people read: the evidence as tables, figures and one page."""

"""What tasks take and cost, as sketches that add up; and whether it has shifted."""

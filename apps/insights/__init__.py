"""What has happened, added up: costs, projections, the front page of the admin."""

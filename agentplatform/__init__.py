"""The decisions of the platform: pure Python that decides and never stores."""

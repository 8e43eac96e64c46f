"""What several tests share: problems, structures, servers, and where the shared data lie."""

"""claims_pipeline: daily dumps of personal records, from a sender's S3 inbox into protected, explained SQL tables."""

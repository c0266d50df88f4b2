-- The service tier that was asked for; null for the account's default.
ALTER TABLE usage_event ADD COLUMN service_tier TEXT;

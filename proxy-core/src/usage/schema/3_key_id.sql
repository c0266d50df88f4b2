-- The id of the API key; null where it is not known, as of events of earlier versions, which have only its name.
--
-- Without a change of the table: the sums by key (kind 2) have the key's id as their name, or the key's name where the
-- id is not known. No key's name begins with `key_`, as every id does. And usage_state remembers the last name of each
-- key (`key_name:` and its id), and whether events without an id were looked through (`keys_assigned`).
ALTER TABLE usage_event ADD COLUMN key_id TEXT;

-- The extension made anew, and a schema, first in the search_path, for what the test makes.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE SCHEMA shop;
SET search_path = shop, public;

#!/bin/sh
# Run once by the postgres image, as the owner, when the database is made: the login that the service's processes use.
# It owns nothing; the roles it is a member of get their rights from the migrations (docs/decisions/0008).
set -eu
psql --set ON_ERROR_STOP=1 --set password="$IDPREFER_SERVICE_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE idprefer_api NOLOGIN NOINHERIT NOBYPASSRLS;
CREATE ROLE idprefer_ledger NOLOGIN NOINHERIT NOBYPASSRLS;
CREATE ROLE idprefer_operator NOLOGIN NOINHERIT NOBYPASSRLS;
CREATE ROLE idprefer_service LOGIN NOINHERIT NOBYPASSRLS PASSWORD :'password';
GRANT idprefer_api, idprefer_ledger, idprefer_operator TO idprefer_service;
SQL

-- the registry is in the database that the server makes itself; Dagster's tables have one of their own
CREATE DATABASE dagster;

"""Tables of YAPTIDE's five revisions, in SQL."""

from __future__ import annotations

OLDEST, CASCADES, NO_KEYS, FILE_NAMES, NEWEST = range(5)
STAMPS = ("06c32cf470e7", "3f9d1f1bec46", "4027fc5cbcb1", "41149fa64bd2", "5003b9acb1f4")


def statements(revision: int = NEWEST) -> list[str]:
    """Return the statements that create the tables of a revision."""
    cascade = " ON DELETE CASCADE" if revision >= CASCADES else ""
    key_hash = "" if revision >= NO_KEYS else ", update_key_hash varchar"
    file_name = ", file_name varchar NOT NULL" if revision >= FILE_NAMES else ""
    page = ", page_name varchar NOT NULL, page_dimension int NOT NULL" if revision >= NEWEST else ""
    job = f'simulation_id int REFERENCES "Simulation"(id){cascade}'
    return [
        """CREATE TABLE "User" (id serial PRIMARY KEY, username varchar NOT NULL,
        auth_provider varchar NOT NULL, UNIQUE (username, auth_provider))""",
        """CREATE TABLE "YaptideUser" (
        id int PRIMARY KEY REFERENCES "User"(id) ON DELETE CASCADE,
        password_hash varchar NOT NULL)""",
        """CREATE TABLE "KeycloakUser" (
        id int PRIMARY KEY REFERENCES "User"(id) ON DELETE CASCADE,
        cert varchar, private_key varchar)""",
        """CREATE TABLE "Cluster" (id serial PRIMARY KEY, cluster_name varchar NOT NULL)""",
        f"""CREATE TABLE "Simulation" (id serial PRIMARY KEY, job_id varchar NOT NULL UNIQUE,
        user_id int REFERENCES "User"(id), start_time timestamptz DEFAULT now(),
        end_time timestamptz, title varchar NOT NULL, platform varchar NOT NULL,
        input_type varchar NOT NULL, sim_type varchar NOT NULL,
        job_state varchar NOT NULL DEFAULT 'UNKNOWN'{key_hash})""",
        """CREATE TABLE "CelerySimulation" (
        id int PRIMARY KEY REFERENCES "Simulation"(id) ON DELETE CASCADE, merge_id varchar)""",
        """CREATE TABLE "BatchSimulation" (
        id int PRIMARY KEY REFERENCES "Simulation"(id) ON DELETE CASCADE,
        cluster_id int NOT NULL REFERENCES "Cluster"(id), job_dir varchar, array_id int,
        collect_id int)""",
        f"""CREATE TABLE "Task" (id serial PRIMARY KEY, {job}, task_id int NOT NULL,
        requested_primaries int NOT NULL DEFAULT 0, simulated_primaries int NOT NULL DEFAULT 0,
        task_state varchar NOT NULL DEFAULT 'PENDING', estimated_time int,
        start_time timestamptz, end_time timestamptz, platform varchar NOT NULL,
        last_update_time timestamptz DEFAULT now(), UNIQUE (simulation_id, task_id))""",
        """CREATE TABLE "CeleryTask" (id int PRIMARY KEY REFERENCES "Task"(id) ON DELETE CASCADE,
        celery_id varchar NOT NULL DEFAULT '')""",
        """CREATE TABLE "BatchTask" (id int PRIMARY KEY REFERENCES "Task"(id) ON DELETE CASCADE)""",
        f"""CREATE TABLE "Input" (id serial PRIMARY KEY, {job}, compressed_data bytea)""",
        f"""CREATE TABLE "Estimator" (id serial PRIMARY KEY, {job} NOT NULL,
        name varchar NOT NULL, compressed_data bytea{file_name})""",
        f"""CREATE TABLE "Page" (id serial PRIMARY KEY,
        estimator_id int NOT NULL REFERENCES "Estimator"(id){cascade},
        page_number int NOT NULL, compressed_data bytea{page})""",
        f"""CREATE TABLE "Logfiles" (id serial PRIMARY KEY, {job} NOT NULL, compressed_data bytea)""",
        "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)",
        f"INSERT INTO alembic_version VALUES ('{STAMPS[revision]}')",
    ]
